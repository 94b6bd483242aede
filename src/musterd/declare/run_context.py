"""What functions of a declaration may know of the run that they are called for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from musterd.declare.source_location import Place, listed, wrong

PARAMETERS = ("run_context", "session_state", "dependencies", "agent", "team")
"""What a function may ask for, by the names of its parameters."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a function that makes instructions, a system message or a dependency may know of the run.

    :param run_id: the run of the agent or team that it is called for.
    :param user_id: the user, None when nobody said.
    :param session_state: the session's state; what a function changes here is kept.
    :param dependencies: values of the declaration and the request.
    :param metadata: values of the declaration and the request.
    """

    run_id: str
    session_id: str
    user_id: str | None
    session_state: dict[str, Any]
    dependencies: dict[str, Any]
    metadata: dict[str, Any]


def check_callable(function: Callable[..., Any], what: str, place: Place) -> None:
    """Check that ``function`` asks for nothing but what it can be given.

    :param what: the function as a sentence names it: "agent 'writer': the function in 'instructions'".
    :raises DeclarationError: it has another parameter that must be filled.
    """
    for name in _needed(function):
        if name not in PARAMETERS:
            cure = f"it can take {listed(PARAMETERS)}, each by its name"
            raise wrong(place, f"{what} has the parameter '{name}'", cure)


def asked_of(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of :data:`PARAMETERS` that ``function`` asks for."""
    return {name: given[name] for name in _parameters(function) if name in given}


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except ValueError:  # one in C that does not tell them
        return {}


def _needed(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in _parameters(function).values()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in kinds
    ]
