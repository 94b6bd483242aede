"""Tools of the loop itself. They act on the run, not on the outside world."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool
from musterd.declare.tools import loop_tool
from musterd.loop.assignment import Assignment
from musterd.loop.run_tree import RunTree

EmitAtStep = Callable[[EventKind, JsonObject, str], None]
"""Emits an event of a run: its kind, its data, and a key that is unique among events of this kind at the same step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallContext:
    """One call of a built-in tool. The loop passes it for a parameter of this type.

    :param tree: the tree of the run.
    :param run: the run whose model made the call.
    :param state: a copy of the session state; changes to it are kept.
    :param path: the call's place in the run tree.
    :param emit: emits an event of the run, once for this call even if the call is repeated.
    :param details: what the journal keeps of the call in addition to its text; the tool fills it.
    """

    tree: RunTree
    run: Assignment
    state: JsonObject
    path: str
    emit: EmitAtStep
    details: JsonObject = field(default_factory=dict)


class Rejected(Exception):
    """Invalid tool call; the message tells the model what to do instead."""


def builtin_tool(function: Callable[..., Any], name: str | None = None) -> Tool:
    """Turn an async function into a built-in tool, as :func:`musterd.tool` does, with a :class:`ToolCallContext`.

    What a built-in tool changes is the same if it is called again after a crash.

    :param name: the name for the model; default: the name of the function.
    """
    return loop_tool(function, ToolCallContext, name)
