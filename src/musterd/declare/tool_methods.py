"""Methods that are tools once their object is there: ``@tool`` inside a class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musterd.declare.tools import Tool


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodTool:
    """A method that was declared a tool. On an object it is the method; the toolkit of the object makes the tool.

    :param function: the method as the class has it.
    :param make: makes a tool of the bound method, with the options of the declaration.
    """

    function: Callable[..., Any]
    make: Callable[[Callable[..., Any]], Tool]

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """The bound method; the declaration itself on the class."""
        return self if instance is None else self.function.__get__(instance, owner)

    def bound_to(self, instance: object) -> Tool:
        """The tool that calls the method of ``instance``."""
        return self.make(self.function.__get__(instance, type(instance)))


def is_method(function: Any) -> bool:
    """Whether ``function`` stands in a class and waits for its object: its first parameter is a bare ``self``."""
    if not inspect.isfunction(function):
        return False
    stands_in = function.__qualname__.rpartition(".")[0]
    first = function.__code__.co_varnames[:1] if function.__code__.co_argcount else ()
    return bool(stands_in) and not stands_in.endswith("<locals>") and first == ("self",)
