"""Tools that are defined by the JSON schema of their arguments instead of a function with type hints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.core.problem_lists import MAY_BE_MORE
from musterd.core.schema_checks import SchemaCheck, TooMuchWork, arguments_check
from musterd.declare.source_location import Place
from musterd.declare.tools import Tool

if TYPE_CHECKING:
    import jsonschema_rs


class _InvalidArguments(ValueError):
    def __init__(self, problems: list[tuple[str, str | None]]) -> None:
        super().__init__("the arguments do not match the schema")
        self.problems = problems


@dataclass(frozen=True, eq=False)
class SchemaSignature:
    """Like :class:`musterd.declare.signature.Signature`, for a function that takes all arguments as one dict."""

    parameters: dict[str, Any]

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments if they are valid. Raises ValueError, which :meth:`problems` explains.

        Arguments that take too long to check are for the source of the tool to check.
        """
        check = self._check
        try:
            if check is None or check.is_valid(arguments):
                return arguments
        except TooMuchWork:
            return arguments
        errors = check.errors(arguments)
        problems = [problem for error in errors.problems for problem in _problems(error)]
        if problems and not errors.are_all:
            problems.append(("", MAY_BE_MORE))
        raise _InvalidArguments(problems or [("arguments", "do not match the schema")])

    def problems(self, error: ValueError) -> Iterator[tuple[str, str | None]]:
        """The problems of the arguments as (location, message), like ``Signature.problems``."""
        yield from error.problems if isinstance(error, _InvalidArguments) else [("", str(error))]

    def arrange(self, arguments: dict[str, Any], context: Any) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as one dict, and the context of the call."""
        return [arguments, context], {}

    @functools.cached_property
    def _check(self) -> SchemaCheck | None:
        """The check of arguments. None if the schema is refused; then the source of the tool must check them."""
        return arguments_check(self.parameters)


def _problems(error: jsonschema_rs.ValidationError) -> Iterator[tuple[str, str | None]]:
    """The problems in one validation error, each at the argument that it is about.

    The validator reports a missing or unknown property at the object that contains it.
    """
    import jsonschema_rs

    parts = [str(part) for part in error.instance_path]
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            yield ".".join([*parts, name]), "missing"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names) if not parts:
            yield from ((name, None) for name in names)
        case _:
            yield ".".join(parts), error.message


def schema_tool(
    name: str,
    description: str,
    parameters: dict[str, Any],
    function: Callable[[dict[str, Any], Any], Any],
    place: Place,
    **options: Any,
) -> Tool:
    """A tool whose arguments are checked against a JSON schema.

    :param function: takes the arguments and the :class:`musterd.ToolContext` of the call; a plain one runs in a thread.
    :param options: further fields of :class:`musterd.Tool`.
    """
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        signature=SchemaSignature(parameters),
        declared_at=place,
        **options,
    )
