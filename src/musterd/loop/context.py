"""What a run's model is told before the user's message, as far as it depends on the run.

Texts that do not are made once for a component (:mod:`musterd.loop.prompts`). Here names in them are filled, and what
is the run's own comes behind them: the time, the state, what a leader's history says. All of it is recorded with the
first step, so that a later attempt tells the model the same.
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
from musterd.declare import Component
from musterd.loop.assignment import Assignment
from musterd.loop.component_cache import cached_per_component
from musterd.loop.context_functions import ask_functions, asks_functions
from musterd.loop.conversation import NOTES
from musterd.loop.prompts import prompt_with, system_prompt
from musterd.loop.run_tree import RunTree

SUMMARY_NOTE = (
    "It sums up what was said in this session before, and may be outdated: what the conversation itself says counts "
    "more."
)
_NAME = re.compile(r"\{(\w+)\}")


async def system_text(world: RunTree, run: Assignment, at: float, *, has_form: bool) -> str:
    """The system message of a run; empty when there is nothing to say.

    :param at: when the run begins.
    :param has_form: whether its answer has a form.
    :raises RunFailed: a function of the declaration cannot be asked for its part.
    """
    component, spec = run.component, run.component.spec
    if asks_functions(component):
        text = _worded(component, await ask_functions(world, run), has_form=has_form)
    else:
        text = system_prompt(component, has_form=has_form)
    if spec.resolve_in_context and "{" in text:
        text = filled(text, _values(world, run))
    own = _of_the_run(world, run, at) if spec.system_message is None else ()
    parts = [text, *own, *run.context]
    return "\n\n".join(part for part in parts if part)


def _worded(component: Component, given: JsonObject, *, has_form: bool) -> str:
    """The system message with what functions gave for it."""
    if "system_message" in given:
        text: str = given["system_message"]
        return text
    if "instructions" in given:
        return prompt_with(component, given["instructions"], has_form=has_form)
    return system_prompt(component, has_form=has_form)


# --- names in the text ------------------------------------------------------------------------------


def filled(text: str, values: Mapping[str, Json]) -> str:
    """``text`` with each ``{name}`` that is known replaced by its value; any other stays as it is.

    A text stands as it is, any other value as JSON. What was filled in is not looked at again.
    """
    return _NAME.sub(lambda found: shown(values[found[1]]) if found[1] in values else found[0], text)


def shown(value: Json) -> str:
    """A value as a model reads it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _values(world: RunTree, run: Assignment) -> Mapping[str, Json]:
    """What names in texts stand for; of one name the state's value wins, then the dependencies', the metadata's."""
    user: JsonObject = {} if world.user_id is None else {"user_id": world.user_id}
    return ChainMap(run.state, dependencies_of(world, run), {**run.metadata, **world.metadata}, user)


def dependencies_of(world: RunTree, run: Assignment) -> JsonObject:
    """The dependencies of a run: its declaration's, what functions gave, its leader's, the request's."""
    return {**run.dependencies, **world.dependencies}


# --- what is the run's own --------------------------------------------------------------------------


def _of_the_run(world: RunTree, run: Assignment, at: float) -> Iterator[str]:
    spec = run.component.spec
    if spec.add_datetime_to_context:
        yield f"The current time is {_time(at, spec.timezone_identifier)}."
    if spec.add_location_to_context and world.settings.location:
        yield f"The user's approximate location is {world.settings.location}."
    if run.session_summary and spec.shows_summary:
        yield f"<session_summary>\n{run.session_summary}\n</session_summary>\n{SUMMARY_NOTE}"
    if run.asked.get("add_dependencies_to_context", spec.add_dependencies_to_context) and (
        known := dependencies_of(world, run)
    ):
        yield f"<dependencies>\n{_indented(known)}\n</dependencies>"
    if run.asked.get("add_session_state_to_context", spec.add_session_state_to_context):
        yield f"<session_state>\n{_indented(run.state)}\n</session_state>"


def _time(at: float, zone: str | None) -> str:
    if zone is None:
        return f"{datetime.fromtimestamp(at, UTC):%A, %Y-%m-%d %H:%M:%S} UTC"
    from zoneinfo import ZoneInfo

    return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%A, %Y-%m-%d %H:%M:%S %Z} ({zone})"


def _indented(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def recorded(world: RunTree, run: Assignment) -> JsonObject:
    """What a root's first step records beside what every run's does: which runs its members are shown."""
    ids = world.shown.run_ids
    return {"shown": ids} if ids and run.parent_id is None else {}


# --- messages before the user's ---------------------------------------------------------------------


@cached_per_component
def examples(component: Component) -> tuple[ModelMessage, ...]:
    """The few-shot messages of a component; they are no part of what was said in the session."""
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


def introduction(world: RunTree, run: Assignment) -> str:
    """The first message of a session, where this run is its first; else empty."""
    text = run.component.spec.introduction if run.opens_session else None
    if text is None or not run.component.spec.resolve_in_context:
        return text or ""
    return filled(text, _values(world, run))
