"""The system message of a run, and the other messages before the user's.

The part that depends only on the declaration is built once per component (:mod:`musterd.loop.prompts`). This module
fills placeholders in it and appends what belongs to the run: the time, the session state, the leader's history. The
result is recorded with the first step, so that later attempts send the model the same text.
"""

import json
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)

from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import BaseComponent, Component
from musterd.loop.assignment import Assignment
from musterd.loop.component_cache import cached_per_component
from musterd.loop.context_functions import call_context_functions, has_context_functions
from musterd.loop.conversation import NOTES
from musterd.loop.prompts import prompt_with, system_prompt
from musterd.loop.retrieval import filter_keys_note
from musterd.loop.run_tree import RunTree
from musterd.loop.user_memories import Remembered, memories_text

SUMMARY_NOTE = (
    "It sums up what was said in this session before, and may be outdated: what the conversation itself says counts "
    "more."
)
_NAME = re.compile(r"\{(\w+)\}")
_TIME, _LOCATION = "The current time is {}.", "The user's approximate location is {}."
_SURROUNDINGS = re.compile(
    r"(?:\A|\n\n)(?:The current time is [^\n]*\.|The user's approximate location is [^\n]*\."
    r"|<knowledge_filters>\n[^\n]*\n</knowledge_filters>)(?=\n\n|\Z)"
)


async def system_text(
    tree: RunTree, run: Assignment, started_at: float, remembered: Remembered | None, *, has_form: bool
) -> str:
    """The system message of a run; may be empty.

    :param started_at: when the run begins.
    :param remembered: the memories of its user; None if it shows none.
    :param has_form: whether its answer must match a schema.
    :raises RunFailed: a function of the declaration failed.
    """
    component, spec = run.component, run.component.spec
    if has_context_functions(component):
        text = _system_prompt_from(component, await call_context_functions(tree, run), has_form=has_form)
    else:
        text = system_prompt(component, has_form=has_form)
    if spec.resolve_in_context and "{" in text:
        text = fill_placeholders(text, _values(tree, run))
    # The run's own parts come last, so that all runs of a component share a prefix that providers can cache.
    is_ours = spec.system_message is None
    run_parts = _run_parts(tree, run, started_at, remembered) if is_ours else ()
    keys = await filter_keys_note(tree, run) if is_ours else ""
    parts = [text, *run_parts, keys, *run.context]
    return "\n\n".join(part for part in parts if part)


def _system_prompt_from(component: Component, results: JsonObject, *, has_form: bool) -> str:
    """The component's part of the system message, with the results of its functions."""
    if "system_message" in results:
        text: str = results["system_message"]
        return text
    if "instructions" in results:
        return prompt_with(component, results["instructions"], has_form=has_form)
    return system_prompt(component, has_form=has_form)


# --- placeholders -----------------------------------------------------------------------------------


def fill_placeholders(text: str, values: Mapping[str, Json]) -> str:
    """``text`` with each known ``{name}`` replaced by its value; unknown placeholders stay.

    Strings are inserted verbatim, other values as JSON. Inserted text is not searched for placeholders.
    """
    return _NAME.sub(lambda match: _prompt_text(values[match[1]]) if match[1] in values else match[0], text)


def _prompt_text(value: Json) -> str:
    """A value as it appears in a prompt."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _values(tree: RunTree, run: Assignment) -> Mapping[str, Json]:
    """The values of placeholders. The session state overrides the dependencies, which override the metadata."""
    user = tree.user_id
    ids: JsonObject = {} if user is None else {"user_id": user, "current_user_id": user}
    ids |= {"current_session_id": tree.session_id, "current_run_id": run.run_id}
    return ChainMap(run.state, dependencies_of(tree, run), {**run.metadata, **tree.metadata}, ids)


def dependencies_of(tree: RunTree, run: Assignment) -> JsonObject:
    """The dependencies of a run: the declaration's, its functions', its leader's, the request's. Later ones win."""
    return {**run.dependencies, **tree.dependencies}


# --- the run's own parts ----------------------------------------------------------------------------


def _run_parts(tree: RunTree, run: Assignment, started_at: float, remembered: Remembered | None) -> Iterator[str]:
    spec = run.component.spec
    if spec.add_datetime_to_context:
        yield _TIME.format(_time(started_at, spec.timezone_identifier))
    if spec.add_location_to_context and tree.settings.location:
        yield _LOCATION.format(tree.settings.location)
    if remembered is not None and spec.shows_memories:
        yield memories_text(remembered)
    if run.session_summary and spec.shows_summary:
        yield f"<session_summary>\n{run.session_summary}\n</session_summary>\n{SUMMARY_NOTE}"
    if run.request_options.get("add_dependencies_to_context", spec.add_dependencies_to_context) and (
        dependencies := dependencies_of(tree, run)
    ):
        yield f"<dependencies>\n{_indented(dependencies)}\n</dependencies>"
    if run.request_options.get("add_session_state_to_context", spec.add_session_state_to_context):
        yield f"<session_state>\n{_indented(run.state)}\n</session_state>"


def without_surroundings(text: str) -> str:
    """A system message without what depends on when and where its run began: time, location, keys of documents."""
    return _SURROUNDINGS.sub("", text).strip()


def _time(timestamp: float, zone: str | None) -> str:
    if zone is None:
        return f"{datetime.fromtimestamp(timestamp, UTC):%A, %Y-%m-%d %H:%M:%S} UTC"
    from zoneinfo import ZoneInfo

    return f"{datetime.fromtimestamp(timestamp, ZoneInfo(zone)):%A, %Y-%m-%d %H:%M:%S %Z} ({zone})"


def _indented(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def member_history_record(tree: RunTree, run: Assignment[BaseComponent]) -> JsonObject:
    """What a root's first step records in addition to any run's: the ids of the earlier runs that members see."""
    ids = tree.member_history.run_ids
    return {"member_history": ids} if ids and run.parent_id is None else {}


# --- messages before the user's ---------------------------------------------------------------------


@cached_per_component
def examples(component: Component) -> tuple[ModelMessage, ...]:
    """The few-shot messages of a component. They are marked as history, so they do not count as part of this run."""
    return tuple(_example(item) for item in component.spec.additional_input or ())


def _example(item: str | Mapping[str, str] | ModelMessage) -> ModelMessage:
    notes: JsonObject = {NOTES: {"from_history": True}}
    if isinstance(item, ModelRequest | ModelResponse):
        return replace(item, metadata={**(item.metadata or {}), **notes})
    role, content = ("user", item) if isinstance(item, str) else (item["role"], item["content"])
    if role == "assistant":
        return ModelResponse(parts=[TextPart(content)], metadata=notes)
    part = UserPromptPart(content) if role == "user" else SystemPromptPart(content)
    return ModelRequest(parts=[part], metadata=notes)


def introduction(tree: RunTree, run: Assignment) -> str:
    """The component's introduction if this run is the first of its session; otherwise empty."""
    text = run.component.spec.introduction if run.opens_session else None
    if text is None or not run.component.spec.resolve_in_context:
        return text or ""
    return fill_placeholders(text, _values(tree, run))
