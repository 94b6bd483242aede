"""The context of a run that functions of a declaration may receive."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from musterd.declare.source_location import Place, declaration_error, quoted_list

PARAMETERS = ("run_context", "session_state", "dependencies", "agent", "team")
"""The parameter names by which a function can request a value."""
RETRIEVER_PARAMETERS = ("query", "num_documents", "filters")
"""Those that a ``knowledge_retriever`` can have in addition."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The run for which a function returns instructions, a system message or a dependency.

    :param run_id: the run of the agent or team for which the function is called.
    :param user_id: the user, if known.
    :param session_state: the state of the session; changes that the function makes are stored.
    :param dependencies: values of the declaration and the request.
    :param metadata: values of the declaration and the request.
    """

    run_id: str
    session_id: str
    user_id: str | None
    session_state: dict[str, Any]
    dependencies: dict[str, Any]
    metadata: dict[str, Any]


def check_callable(function: Callable[..., Any], label: str, place: Place, more: Sequence[str] = ()) -> None:
    """Check that all required parameters of ``function`` are in :data:`PARAMETERS` or ``more``.

    :param label: the function as error messages name it: "agent 'writer': the function in 'instructions'".
    :raises DeclarationError: it has another required parameter.
    """
    allowed = (*more, *PARAMETERS)
    for name in _required_parameters(function):
        if name not in allowed:
            fix = f"use only {quoted_list(allowed)}"
            raise declaration_error(place, f"{label} has the unknown parameter '{name}'", fix)


# A cache, because reading a signature may cost more than the call. Weak keys, because some functions live for one run.
_names_of_parameters: WeakKeyDictionary[Callable[..., Any], tuple[str, ...]] = WeakKeyDictionary()


def requested_arguments(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The items of ``values`` for which ``function`` has a parameter."""
    return {name: values[name] for name in _parameter_names(function) if name in values}


def _parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        names = _names_of_parameters.get(function)
        if names is None:
            names = _names_of_parameters[function] = tuple(_parameters(function))
    except TypeError:  # the object cannot be hashed, or does not support weak references
        names = tuple(_parameters(function))
    return names


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except ValueError:  # a C function without a signature
        return {}


def _required_parameters(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in _parameters(function).values()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in kinds
    ]
