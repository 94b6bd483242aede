"""``@tool`` on methods, which become tools when their class is instantiated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.declare.tools import Tool


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodTool:
    """A method with ``@tool``. Accessed on an object it is the plain bound method; the toolkit creates the tool.

    :param function: the unbound method.
    :param make: creates a tool from the bound method, with the options of ``@tool``.
    """

    function: Callable[..., Any]
    make: Callable[[Callable[..., Any]], Tool]

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """The bound method, or this descriptor if accessed on the class."""
        return self if instance is None else self.function.__get__(instance, owner)

    def bound_to(self, instance: object) -> Tool:
        """The tool that calls this method on ``instance``."""
        return self.make(self.function.__get__(instance, type(instance)))


def is_method(function: Any) -> bool:
    """Whether ``function`` is an unbound method: defined in a class, with ``self`` as its first parameter."""
    if not inspect.isfunction(function):
        return False
    owner = function.__qualname__.rpartition(".")[0]
    first_parameter = function.__code__.co_varnames[:1] if function.__code__.co_argcount else ()
    return bool(owner) and not owner.endswith("<locals>") and first_parameter == ("self",)
