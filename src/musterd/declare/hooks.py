"""Hooks of a declaration (functions and guardrails), and the parameters that they may have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from musterd.declare.options import Kind
from musterd.declare.source_location import Place, declaration_error, describe_type, is_from_agno, quoted_list

HOOK_PARAMETERS = ("run_context", "session_state", "dependencies", "metadata", "user_id", "session", "debug_mode")
"""The parameters that any hook may have, in addition to ``run_input`` or ``run_output`` and ``agent`` or ``team``."""


def hook_function(hook: Any) -> Callable[..., Any]:
    """The function that is called for a hook: the hook itself, or the check of a guardrail."""
    if callable(hook):
        return hook  # type: ignore[no-any-return]
    method_names = (set(vars(cls)) & {"check", "async_check"} for cls in type(hook).__mro__)
    own_names = next((names for names in method_names if names), set())
    return hook.async_check if "async_check" in own_names else hook.check  # type: ignore[no-any-return]


def hook_name(hook: Any) -> str:
    """The name of a hook in events and errors."""
    return getattr(hook, "__name__", None) or type(hook).__name__


def is_hook(value: Any) -> bool:
    """Whether ``value`` is a function or a guardrail."""
    is_guardrail = hasattr(value, "async_check") or hasattr(value, "check")
    return not isinstance(value, type) and (callable(value) or is_guardrail)


HOOKS = Kind(
    words="a list of functions and guardrails",
    accepts=lambda value: isinstance(value, list | tuple) and all(map(is_hook, value)),
    yaml=list[str],
)


def check_hooks(hooks: Sequence[Any], subject: str, label: str, kind: str, place: Place) -> None:
    """Check that the parameters of all hooks can be filled.

    :param subject: ``run_input`` or ``run_output``.
    :raises DeclarationError: a hook has an unknown parameter.
    """
    for hook in hooks:
        if is_from_agno(type(hook)):
            raise declaration_error(
                place, f"{label}: a hook is {describe_type(hook)}", "list functions and guardrails from musterd.guards"
            )
        check_hook_parameters(hook, subject, label, kind, place)


def check_hook_parameters(hook: Any, subject: str, label: str, kind: str, place: Place) -> None:
    """Check that the parameters of one hook can be filled, as :func:`check_hooks` does.

    :raises DeclarationError: it has an unknown parameter.
    """
    allowed = {subject, kind, *HOOK_PARAMETERS}
    for name, parameter in inspect.signature(hook_function(hook)).parameters.items():
        is_optional = (
            parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            or parameter.default is not parameter.empty
        )
        if name not in allowed and not is_optional:
            problem = f"{label}: the hook '{hook_name(hook)}' has the unknown parameter '{name}'"
            raise declaration_error(
                place, problem, f"use one of {quoted_list(sorted(allowed))}, or give it a default value"
            )


def hook_arguments(hook: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The items of ``values`` for which a hook has a parameter."""
    parameters = inspect.signature(hook_function(hook)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return values
    return {name: value for name, value in values.items() if name in parameters}
