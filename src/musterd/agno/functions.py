"""Functions of a file of Agno that are called during a run, with the values that Agno passes under these names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from musterd.declare.library_tools.agno_tools import run_context
from musterd.declare.run_context import RunContext


def with_agno_values(function: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """``function`` for musterd: it is called with the same names, and Agno's objects for those that musterd has too.

    :param owner: Agno's agent or team that has the function.
    """
    if inspect.iscoroutinefunction(function):

        async def call_async(**values: Any) -> Any:
            arguments = agno_values(values, owner)
            result = await function(**arguments)
            keep_state(values, arguments)
            return result

        return _like(function, call_async)

    def call(**values: Any) -> Any:
        arguments = agno_values(values, owner)
        result = function(**arguments)
        keep_state(values, arguments)
        return result

    return _like(function, call)


def _like(function: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """``wrapper`` with the name and the parameters of ``function``, which may be an object without a name."""
    functools.update_wrapper(wrapper, function)
    wrapper.__name__ = getattr(function, "__name__", type(function).__name__)
    return wrapper


def agno_values(values: Mapping[str, Any], owner: Any) -> dict[str, Any]:
    """The values of a call, with Agno's agent, team and context in place of musterd's."""
    arguments = dict(values)
    for name in ("agent", "team"):
        if name in arguments:
            arguments[name] = owner if is_team(owner) == (name == "team") else None
    if isinstance(arguments.get("run_context"), RunContext):
        arguments["run_context"] = run_context(arguments["run_context"])
    return arguments


def is_team(declared: Any) -> bool:
    """Whether an object of Agno is a team."""
    return any(cls.__name__ == "Team" for cls in type(declared).__mro__)


def is_async_database(database: Any) -> bool:
    """Whether a database of Agno has only async methods."""
    return any(cls.__name__ == "AsyncBaseDb" for cls in type(database).__mro__)


def keep_state(values: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Take over the session state that a function put in place of the dict that it was given."""
    context = values.get("run_context")
    state = getattr(arguments.get("run_context"), "session_state", None)
    if isinstance(context, RunContext) and state is not None and state is not context.session_state:
        context.session_state.clear()
        context.session_state.update(state)
