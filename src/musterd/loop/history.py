"""Earlier conversations: those that tools and summaries look up on demand, and those that members are shown.

This module reads no database: :class:`HistoryLookup` is the seam, and :mod:`musterd.engine.history` implements it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind
from musterd.declare import Agent, BaseComponent, Component, Team
from musterd.loop.component_cache import cached_per_component
from musterd.loop.conversation import NOTES
from musterd.loop.history_limits import limit_history
from musterd.loop.structured_answers import FINAL_TOOL

ComponentKey = tuple[ComponentKind, str]
"""A component's kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierSession:
    """Another session of the same user.

    :param conversations: the conversations of its last runs, as JSON texts, oldest first.
    """

    session_id: str
    name: str
    updated_at: float
    conversations: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsummarised:
    """The input of a session summary.

    :param summary: the current summary: summary, topics, as_of, run_id.
    :param conversations: the conversations of runs that finished since, as JSON texts, oldest first.
    """

    summary: JsonObject | None
    conversations: Sequence[str]


class HistoryLookup(Protocol):
    """Looks up conversations from before the root run, on demand."""

    async def conversations(self, member: ComponentKey | None, limit: int) -> Sequence[str]:
        """The last conversations of the root component, or of a member, in the session, oldest first."""
        ...

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        """The user's last other sessions, newest first; None if the user is unknown."""
        ...

    async def unsummarised(self) -> Unsummarised:
        """The session's summary, and the conversations that it does not cover yet."""
        ...

    async def inputs_and_outputs(self, limit: int) -> Sequence[tuple[str, str]]:
        """The input and the output of the last completed runs of the root component in the session, oldest first."""
        ...


class NoHistory:
    """A lookup without any earlier conversations."""

    async def inputs_and_outputs(self, limit: int) -> Sequence[tuple[str, str]]:
        """No runs."""
        return ()

    async def conversations(self, member: ComponentKey | None, limit: int) -> Sequence[str]:
        """No conversations."""
        return ()

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        """No sessions."""
        return ()

    async def unsummarised(self) -> Unsummarised:
        """No summary and no conversations."""
        return Unsummarised(summary=None, conversations=())


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberHistory:
    """The earlier runs that members of the tree are shown.

    :param of_members: messages of each member's own earlier runs.
    :param of_team: input and answer of earlier runs of the root, oldest first.
    :param run_ids: the ids of all these runs. They are recorded with the root's first step, so that later attempts
        show the same runs.
    """

    of_members: Mapping[ComponentKey, Sequence[ModelMessage]] = field(default_factory=dict)
    of_team: Sequence[tuple[str, str]] = ()
    run_ids: JsonObject = field(default_factory=dict)


NO_HISTORY, NO_MEMBER_HISTORY = NoHistory(), MemberHistory()


# --- history of members -----------------------------------------------------------------------------


@cached_per_component
def history_runs_by_member(root: BaseComponent) -> Mapping[ComponentKey, int]:
    """The members below ``root`` that are shown their own earlier runs, and how many runs."""
    counts: dict[ComponentKey, int] = {}
    for component in (component for member in root.members for component in member.agents_and_teams()):
        if component.spec.add_history_to_context:
            key = (component.kind, component.id)
            counts[key] = max(counts.get(key, 0), history_run_count(component.spec))
    return counts


def history_run_count(spec: Agent | Team) -> int:
    """How many runs to read for the history of ``spec``. A limit in messages works too: each run has at least one."""
    return spec.num_history_runs if spec.num_history_messages is None else spec.num_history_messages


@cached_per_component
def team_history_run_count(root: BaseComponent) -> int:
    """How many earlier runs of ``root`` its members are shown."""
    specs = [component.spec for component in root.tree()]
    return max(
        (spec.num_team_history_runs for spec in specs if isinstance(spec, Team) and spec.add_team_history_to_members),
        default=0,
    )


def member_history(
    stored: MemberHistory, member: Component, this_run: Sequence[tuple[Component, str, str]]
) -> Sequence[ModelMessage]:
    """The history that a member is shown: its own earlier runs in the session and in this run.

    :param stored: the history from the session.
    :param this_run: member, task and answer of each delegation in earlier turns of this run.
    """
    if not member.spec.add_history_to_context:
        return ()
    messages = [*stored.of_members.get((member.kind, member.id), ())]
    for component, task, answer in this_run:
        if component is member:
            notes: JsonObject = {NOTES: {"from_history": True}}
            messages.append(ModelRequest(parts=[UserPromptPart(task)], metadata=notes))
            messages.append(ModelResponse(parts=[TextPart(answer)], metadata=notes))
    return limit_history(messages, member.spec.num_history_messages, member.spec.max_tool_calls_from_history)


def team_history_text(stored: MemberHistory, team: Component) -> str:
    """The text about earlier runs that members of ``team`` are shown; may be empty."""
    spec = team.spec
    if not isinstance(spec, Team) or not spec.add_team_history_to_members or not spec.num_team_history_runs:
        return ""
    runs = "\n".join(
        f"<run>\n<input>\n{text}\n</input>\n<response>\n{answer}\n</response>\n</run>"
        for text, answer in stored.of_team[-spec.num_team_history_runs :]
    )
    return f"<team_history>\n{runs}\n</team_history>" if runs else ""


# --- reading a stored conversation ------------------------------------------------------------------


def user_input_in(text: str) -> str:
    """The user's message in a stored conversation, as the pre-hooks left it."""
    for message in json.loads(text):
        if ((message.get("metadata") or {}).get(NOTES) or {}).get("from_history"):
            continue
        for part in message["parts"]:
            if part["part_kind"] == "user-prompt":  # the message comes first, texts of files after it
                return _text(part["content"] if isinstance(part["content"], str) else part["content"][:1])
    return ""


def chat_messages(text: str) -> list[JsonObject]:
    """The texts of a stored conversation as ``role`` and ``content``, without tool calls and history."""
    chat: list[JsonObject] = []
    for message in json.loads(text):
        notes: JsonObject = (message.get("metadata") or {}).get(NOTES) or {}
        if notes.get("from_history"):
            continue
        for part in message["parts"]:
            role, content = _role_and_content(part)
            if content:
                chat.append({"role": role, "content": content})
    return chat


def _role_and_content(part: JsonObject) -> tuple[str, str]:
    kind = part["part_kind"]
    if kind == "user-prompt":
        return "user", _text(part["content"])
    if kind == "text":
        return "assistant", part["content"]
    if kind == "tool-call" and part["tool_name"] == FINAL_TOOL:
        return "assistant", part["args"] if isinstance(part["args"], str) else json.dumps(part["args"])
    return "", ""


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    texts = [item if isinstance(item, str) else item.get("content", "") for item in content if not _is_media(item)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _is_media(item: Json) -> bool:
    return isinstance(item, dict) and item.get("kind") != "text-content"
