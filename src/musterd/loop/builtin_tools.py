"""Tools of the loop itself. They act on the run, not on the outside world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool
from musterd.declare.tools import loop_tool
from musterd.loop.assignment import Assignment
from musterd.loop.history import NO_HISTORY, HistoryLookup

EmitAtStep = Callable[[EventKind, JsonObject, str], None]
"""Emits an event of a run: its kind, its data, and a key that is unique among events of this kind at the same step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallContext:
    """One call of a built-in tool. The loop passes it for a parameter of this type.

    :param run: the run whose model made the call.
    :param state: a copy of the session state; changes to it are kept.
    :param path: the call's place in the run tree.
    :param emit: emits an event of the run, once for this call even if the call is repeated.
    :param history: looks up earlier conversations.
    """

    run: Assignment
    state: JsonObject
    path: str
    emit: EmitAtStep
    history: HistoryLookup = NO_HISTORY


class Rejected(Exception):
    """Invalid tool call; the message tells the model what to do instead."""


def builtin_tool(function: Callable[..., Any]) -> Tool:
    """Turn an async function into a built-in tool, as :func:`musterd.tool` does, with a :class:`ToolCallContext`.

    A built-in tool changes only the state that it is passed, so it may be called again after a crash.
    """
    return loop_tool(function, ToolCallContext)
