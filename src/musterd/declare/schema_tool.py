"""Tools that bring the JSON schema of their arguments, and have no function whose hints could tell it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.declare.source_location import Place
from musterd.declare.tools import Tool

if TYPE_CHECKING:
    import jsonschema_rs


class _DoNotFit(ValueError):
    def __init__(self, problems: list[tuple[str, str | None]]) -> None:
        super().__init__("the arguments do not fit the schema")
        self.problems = problems


@dataclass(frozen=True, eq=False)
class SchemaSignature:
    """What a tool's schema tells about it, like :class:`musterd.declare.signature.Signature`, for one dict."""

    parameters: dict[str, Any]

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, if they fit. Raises ValueError for :meth:`problems`."""
        if self._validator is not None:
            problems = [problem for error in self._validator.iter_errors(arguments) for problem in _problems(error)]
            if problems:
                raise _DoNotFit(problems)
        return arguments

    def problems(self, error: ValueError) -> Iterator[tuple[str, str | None]]:
        """The problems of arguments as (location, message), like ``Signature.problems``."""
        yield from error.problems if isinstance(error, _DoNotFit) else [("", str(error))]

    def arrange(self, arguments: dict[str, Any], context: Any) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as one, and the call's context."""
        return [arguments, context], {}

    @functools.cached_property
    def _validator(self) -> jsonschema_rs.Validator | None:
        """What checks arguments; None for a schema that cannot be read: whoever brought it checks them itself."""
        import jsonschema_rs

        try:
            return jsonschema_rs.validator_for(self.parameters, offline=True)
        except (ValueError, jsonschema_rs.ReferencingError):
            return None


def _problems(error: jsonschema_rs.ValidationError) -> Iterator[tuple[str, str | None]]:
    """What one error of the validator says, each problem at the argument that it is about.

    The validator reports a missing or an unknown property at the object around it.
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
    function: Callable[[dict[str, Any], Any], Awaitable[Any]],
    place: Place,
    **options: Any,
) -> Tool:
    """A tool whose arguments are checked against a JSON schema.

    :param function: is given the arguments and the call's :class:`musterd.ToolContext`.
    :param options: further fields of :class:`musterd.Tool`.
    """
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        function=function,
        is_async=True,
        signature=SchemaSignature(parameters),
        declared_at=place,
        **options,
    )
