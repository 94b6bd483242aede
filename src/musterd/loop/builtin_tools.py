"""Tools of the loop itself: they act on the run, not on the world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool
from musterd.declare.tools import made_tool
from musterd.loop.assignment import Assignment
from musterd.loop.history import NO_PAST, Past

Tell = Callable[[EventKind, JsonObject, str], None]
"""Emits an event of a run: its kind, its data, and what tells it from others of its kind at the same step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallContext:
    """One call of an own tool: a parameter of this type is filled by the loop.

    :param run: the run whose model calls.
    :param state: a copy of the session's state; what changes in it is kept.
    :param path: the call's place in the tree.
    :param tell: emits an event of the run, told once for this call.
    :param past: what was said before the run.
    """

    run: Assignment
    state: JsonObject
    path: str
    tell: Tell
    past: Past = NO_PAST


class Rejected(Exception):
    """Invalid tool call; the message tells the model what to do instead."""


def builtin_tool(function: Callable[..., Any]) -> Tool:
    """Make an async function a tool of the loop, as :func:`musterd.tool` does, with a :class:`ToolCallContext`.

    It changes only the state that it is given, so it may be called again after a crash.
    """
    return made_tool(function, ToolCallContext)
