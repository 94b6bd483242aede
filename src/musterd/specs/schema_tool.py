"""Tools that bring the JSON schema of their arguments, and have no function whose hints could tell it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.specs.places import Place
from musterd.specs.tools import Tool

if TYPE_CHECKING:
    import jsonschema_rs


class _DoNotFit(ValueError):
    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("the arguments do not fit the schema")
        self.problems = problems


@dataclass(frozen=True, eq=False)
class SchemaSignature:
    """What is known of a tool by its schema: as :class:`musterd.specs.signature.Signature`, for one positional dict."""

    parameters: dict[str, Any]

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, if they fit. Raises ValueError for :meth:`problems`."""
        if self._validator is not None:
            found = [
                (".".join(str(part) for part in error.instance_path), error.message)
                for error in self._validator.iter_errors(arguments)
            ]
            if found:
                raise _DoNotFit(found)
        return arguments

    def problems(self, error: ValueError) -> Iterator[tuple[str, str | None]]:
        """What is wrong with arguments: (where, what)."""
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
