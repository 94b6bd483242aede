"""The decorator ``@pause``: a function that asks a person when it is used as a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_ATTRIBUTE = "__musterd_pause__"


def pause(
    name: str | None = None,
    *,
    requires_confirmation: bool = False,
    confirmation_message: str | None = None,
    requires_user_input: bool = False,
    user_input_message: str | None = None,
    user_input_schema: Sequence[Any] | None = None,
) -> Callable[[Function], Function]:
    """Make the steps that call the decorated function ask a person first.

    The parameters are those of :class:`Step`, which can override each of them.

    :param name: the name of the step; default: the name of the function.
    """
    options = {
        "name": name,
        "requires_confirmation": requires_confirmation,
        "confirmation_message": confirmation_message,
        "requires_user_input": requires_user_input,
        "user_input_message": user_input_message,
        "user_input_schema": user_input_schema,
    }

    def decorate(function: Function) -> Function:
        setattr(function, _ATTRIBUTE, {name: value for name, value in options.items() if value})
        return function

    return decorate


def pause_options(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The options that ``@pause`` set for steps with this function."""
    options: Mapping[str, Any] = getattr(function, _ATTRIBUTE, {})
    return options
