"""What a component's declaration adds to its model calls and questions, as the first step of each run records it.

The journal compares none of it, because a deploy may change it while runs are active. A replay names what differs.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import Component, Tool
from musterd.declare.approval_flags import QUESTION_OPTIONS
from musterd.declare.tool_choice import read_tool_choice
from musterd.loop.component_cache import cached_per_component
from musterd.loop.tool_set import tool_of, tools_of

_OPTIONS = ("use_json_mode", "parser_model_prompt", "output_model_prompt")
_MANAGERS = ("compression_manager", "session_summary_manager", "memory_manager")


@cached_per_component
def declared_request(component: Component) -> JsonObject:
    """The tools that the model is offered, with the questions about their calls, and further values of model calls.

    Values that are not set are left out. One object for all runs of the component.
    """
    tools: JsonObject = {}
    for offered in tools_of(component):
        tool = tool_of(component, offered.name)
        tools[offered.name] = {
            "description": offered.description or "",
            "parameters": offered.parameters_json_schema,
            **({} if tool is None else _question_options(tool)),
        }
    options = {name: value for name, value in _options(component) if value}
    return {**({"tools": tools} if tools else {}), **({"options": options} if options else {})}


def _question_options(tool: Tool) -> JsonObject:
    """The options that a tool sets about the person who decides about its calls."""
    values = {name: getattr(tool, name) for name in QUESTION_OPTIONS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}


def _options(component: Component) -> Iterator[tuple[str, Json]]:
    spec = component.spec
    yield "output_schema", None if component.answer_schema is None else component.answer_schema[1]
    yield "tool_choice", read_tool_choice(spec.tool_choice)
    for name in _OPTIONS:
        yield name, getattr(spec, name)
    for name in _MANAGERS:
        yield name, _texts_of(getattr(spec, name))


def _texts_of(manager: Any) -> JsonObject:
    """The prompts of a manager."""
    values = {} if manager is None else {item.name: getattr(manager, item.name) for item in fields(manager)}
    return {name: value for name, value in values.items() if isinstance(value, str) and name != "model"}
