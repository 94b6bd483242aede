"""What was said before a run: what its tools and summaries look up when they need it, and what members are shown.

Nothing here reads a database: :class:`Past` is the seam, :mod:`musterd.engine.history` implements it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind
from musterd.declare import Agent, Component, Team
from musterd.loop.component_cache import cached_per_component
from musterd.loop.conversation import NOTES
from musterd.loop.history_limits import trimmed
from musterd.loop.structured_answers import FINAL_TOOL

Who = tuple[ComponentKind, str]
"""A component by its kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierSession:
    """Another session of the same user.

    :param conversations: of its last runs, as JSON texts, oldest first.
    """

    session_id: str
    name: str
    updated_at: float
    conversations: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsummarised:
    """What a summary is made of.

    :param summary: the one so far: summary, topics, as_of, run_id.
    :param conversations: of runs that ended since, as JSON texts, oldest first.
    """

    summary: JsonObject | None
    conversations: Sequence[str]


class Past(Protocol):
    """Looks up what was said before the root run, when it is asked."""

    async def conversations(self, member: Who | None, limit: int) -> Sequence[str]:
        """The last conversations of the root's component in its session, or of a member, oldest first."""
        ...

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        """The same user's last other sessions, newest first; None where nobody knows who the user is."""
        ...

    async def unsummarised(self) -> Unsummarised:
        """The session's summary, and what it does not know yet."""
        ...


class NoHistory:
    """Nothing was said before."""

    async def conversations(self, member: Who | None, limit: int) -> Sequence[str]:
        """None."""
        return ()

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        """None."""
        return ()

    async def unsummarised(self) -> Unsummarised:
        """Nothing."""
        return Unsummarised(summary=None, conversations=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What members of the tree are shown of earlier runs.

    :param of_members: messages of their own earlier runs.
    :param of_team: what earlier runs of the root were asked and answered, oldest first.
    :param run_ids: which runs these are: recorded with the root's first step.
    """

    of_members: Mapping[Who, Sequence[ModelMessage]] = field(default_factory=dict)
    of_team: Sequence[tuple[str, str]] = ()
    run_ids: JsonObject = field(default_factory=dict)


NO_PAST, NOTHING_SHOWN = NoHistory(), Shown()


# --- who is shown something -------------------------------------------------------------------------


@cached_per_component
def who_looks_back(root: Component) -> Mapping[Who, int]:
    """The members below ``root`` that are shown their own earlier runs, and how many."""
    found: dict[Who, int] = {}
    for component in (found for member in root.members for found in member.tree()):
        if component.spec.add_history_to_context:
            who = (component.kind, component.id)
            found[who] = max(found.get(who, 0), runs_wanted(component.spec))
    return found


def runs_wanted(spec: Agent | Team) -> int:
    """How many runs hold the history that ``spec`` asks for: of messages, each run has one at least."""
    return spec.num_history_runs if spec.num_history_messages is None else spec.num_history_messages


@cached_per_component
def team_runs_shown(root: Component) -> int:
    """How many earlier runs of ``root`` its members are told of."""
    specs = [component.spec for component in root.tree()]
    return max(
        (spec.num_team_history_runs for spec in specs if isinstance(spec, Team) and spec.add_team_history_to_members),
        default=0,
    )


def member_history(
    shown: Shown, member: Component, done: Sequence[tuple[Component, str, str]]
) -> Sequence[ModelMessage]:
    """The history that a member is shown: its own earlier runs, of the session and of this run.

    :param done: what members were asked in earlier turns of this run, and their answers.
    """
    if not member.spec.add_history_to_context:
        return ()
    messages = [*shown.of_members.get((member.kind, member.id), ())]
    for other, task, answer in done:
        if other is member:
            notes: JsonObject = {NOTES: {"from_history": True}}
            messages.append(ModelRequest(parts=[UserPromptPart(task)], metadata=notes))
            messages.append(ModelResponse(parts=[TextPart(answer)], metadata=notes))
    return trimmed(messages, member.spec.num_history_messages, member.spec.max_tool_calls_from_history)


def team_history_text(shown: Shown, team: Component) -> str:
    """What members of ``team`` are told of earlier runs; empty: nothing."""
    spec = team.spec
    if not isinstance(spec, Team) or not spec.add_team_history_to_members or not spec.num_team_history_runs:
        return ""
    runs = "\n".join(
        f"<run>\n<input>\n{asked}\n</input>\n<response>\n{answered}\n</response>\n</run>"
        for asked, answered in shown.of_team[-spec.num_team_history_runs :]
    )
    return f"<team_history>\n{runs}\n</team_history>" if runs else ""


# --- reading a stored conversation ------------------------------------------------------------------


def asked_in(text: str) -> str:
    """What the user asked in a stored run, as its hooks left it."""
    for message in json.loads(text):
        if ((message.get("metadata") or {}).get(NOTES) or {}).get("from_history"):
            continue
        for part in message["parts"]:
            if part["part_kind"] == "user-prompt":  # the message stands first, texts of files behind it
                return _text(part["content"] if isinstance(part["content"], str) else part["content"][:1])
    return ""


def chat_of(text: str) -> list[JsonObject]:
    """What the user and the assistant said in a stored run: ``role`` and ``content``, without tools and history."""
    chat: list[JsonObject] = []
    for message in json.loads(text):
        notes: JsonObject = (message.get("metadata") or {}).get(NOTES) or {}
        if notes.get("from_history"):
            continue
        for part in message["parts"]:
            role, content = _said(part)
            if content:
                chat.append({"role": role, "content": content})
    return chat


def _said(part: JsonObject) -> tuple[str, str]:
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
    said = [item if isinstance(item, str) else item.get("content", "") for item in content if not _is_media(item)]
    return "\n".join(text for text in said if isinstance(text, str))


def _is_media(item: Json) -> bool:
    return isinstance(item, dict) and item.get("kind") != "text-content"
