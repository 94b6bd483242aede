"""Hooks of a declaration: functions and guardrails, and what they may ask to be handed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from musterd.declare.options import Kind
from musterd.declare.source_location import Place, is_agnos, kind_of, listed, wrong

GIVEN = ("run_context", "session_state", "dependencies", "metadata", "user_id", "session", "debug_mode")
"""What every hook may have a parameter for, beside ``run_input`` or ``run_output``, and ``agent`` or ``team``."""


def hook_function(hook: Any) -> Callable[..., Any]:
    """The function that is called for a hook: itself, or a guardrail's check."""
    if callable(hook):
        return hook  # type: ignore[no-any-return]
    names = (set(vars(cls)) & {"check", "async_check"} for cls in type(hook).__mro__)
    own = next((found for found in names if found), set())
    return hook.async_check if "async_check" in own else hook.check  # type: ignore[no-any-return]


def hook_name(hook: Any) -> str:
    """What a hook is called in events and errors."""
    return getattr(hook, "__name__", None) or type(hook).__name__


def is_hook(value: Any) -> bool:
    """Whether something can be called as a hook."""
    is_guardrail = hasattr(value, "async_check") or hasattr(value, "check")
    return not isinstance(value, type) and (callable(value) or is_guardrail)


HOOKS = Kind(
    words="a list of functions and guardrails",
    accepts=lambda value: isinstance(value, list | tuple) and all(map(is_hook, value)),
    yaml=list[str],
)


def check_hooks(hooks: Sequence[Any], given: str, label: str, kind: str, place: Place) -> None:
    """Pass where every hook can be called with what it is handed.

    :param given: ``run_input`` or ``run_output``.
    :raises DeclarationError: one has a parameter that nothing is handed for.
    """
    known = {given, kind, *GIVEN}
    for hook in hooks:
        if is_agnos(type(hook)):
            raise wrong(
                place, f"{label}: a hook is {kind_of(hook)}", "list functions, and guardrails of musterd.guards"
            )
        for name, found in inspect.signature(hook_function(hook)).parameters.items():
            is_free = found.kind in (found.VAR_POSITIONAL, found.VAR_KEYWORD) or found.default is not found.empty
            if name not in known and not is_free:
                what = f"{label}: the hook '{hook_name(hook)}' has a parameter '{name}' that nothing is handed for"
                raise wrong(place, what, f"name it one of {listed(sorted(known))}, or give it a default")


def wanted_by(hook: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Of ``values`` those that a hook has a parameter for."""
    parameters = inspect.signature(hook_function(hook)).parameters
    if any(found.kind is found.VAR_KEYWORD for found in parameters.values()):
        return values
    return {name: value for name, value in values.items() if name in parameters}
