"""From a function to what a model must know of it: a JSON schema, descriptions, and the way back to a call.

Schemas and conversions are pydantic's, docstrings are read by griffe; both are imported with the first tool.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, cast

from musterd.declare.options import Declared
from musterd.declare.source_location import PORTING, Place, is_agnos, wrong

if TYPE_CHECKING:
    from types import CodeType

    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Where a docstring's sections begin: only then is a parser needed.
_SECTION = re.compile(r"^\s*(?:[A-Z][A-Za-z ]+:\s*$|:\w+|-{3,}\s*$)", re.MULTILINE)
_NUMPY = re.compile(r"^\s*(?:Parameters|Returns|Other Parameters|Raises)\s*\n\s*-{3,}\s*$", re.MULTILINE)
_SPHINX = re.compile(r"^\s*:(?:param|parameter|arg|argument|key|returns?|raises?|type|rtype)\b[^\n]*:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """What is known of a tool's function.

    :param description: the docstring without its sections.
    :param parameters: JSON schema of the arguments.
    :param positional: parameters that can only be given by place, in order.
    :param context_name: the parameter that takes the call's context, if there is one.
    """

    description: str
    parameters: dict[str, Any]
    is_async: bool
    positional: tuple[str, ...]
    context_name: str | None
    adapter: TypeAdapter[dict[str, Any]]

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments in the types of the function's hints. Raises ValueError for :meth:`problems`."""
        return self.adapter.validate_python(arguments)

    def problems(self, error: ValueError) -> Iterator[tuple[str, str | None]]:
        """What is wrong with arguments: (where, what), without a what for a name that is unknown."""
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            yield "", str(error)
            return
        for found in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join(str(part) for part in found["loc"])
            is_unknown = found["type"] == "extra_forbidden" and len(found["loc"]) == 1
            yield place, None if is_unknown else found["msg"]

    def arrange(self, arguments: dict[str, Any], context: Any) -> tuple[list[Any], dict[str, Any]]:
        """Arguments for the call: those given by place, and those given by name."""
        by_name = dict(arguments)
        if self.context_name is not None:
            by_name[self.context_name] = context
        by_place = []
        for name in self.positional:
            if name not in by_name:
                break
            by_place.append(by_name.pop(name))
        return by_place, by_name


def unwrapped(function: Any) -> Any:
    """The plain function behind partials, methods and callable objects, as far as there is one."""
    if isinstance(function, functools.partial):
        return unwrapped(function.func)
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isroutine(function):
        return function
    called = inspect.getattr_static(function, "__call__", None)
    return called if inspect.isfunction(called) else function


def code_of(function: Any) -> CodeType | None:
    """The code of ``function``: where it stands."""
    return getattr(inspect.unwrap(unwrapped(function)), "__code__", None)


def read_signature(function: Any, name: str, place: Place, context_type: type) -> Signature:
    """Read what a model must know of ``function``.

    :param context_type: a parameter of this type, or of one that it extends, is not shown to the model.
    :raises DeclarationError: a parameter has no hint, or one that no schema can be made of.
    """
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise wrong(place, f"tool '{name}' does not tell its parameters", "wrap it in a function with def") from error
    contexts = [kind for kind in context_type.__mro__ if kind is not object]
    hints = _hints(function, name, place, contexts)
    description, described = _docstring(inspect.getdoc(unwrapped(function)) or "")
    fields: dict[str, Any] = {}
    context_name = None
    for parameter in parameters.values():
        if parameter.kind in _VARIADIC:
            continue
        if parameter.name not in hints:
            raise _no_hint(name, parameter.name, place)
        hint = hints[parameter.name]
        if any(hint is kind or kind in typing.get_args(hint) for kind in contexts):
            context_name = parameter.name
        elif (other := _not_handed(hint)) is not None:
            raise _no_context(name, parameter.name, other, place)
        else:
            fields[parameter.name] = _field(hint, parameter.default, described.get(parameter.name))
    adapter, schema = _schema(name, fields, place)
    positional = [p.name for p in parameters.values() if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(unwrapped(function))
    return Signature(
        description=description,
        parameters=schema,
        is_async=is_async,
        positional=tuple(positional),
        context_name=context_name,
        adapter=adapter,
    )


def _no_hint(tool: str, parameter: str, place: Place) -> Exception:
    if parameter in ("self", "cls"):
        return wrong(place, f"tool '{tool}' is a method without its object", f"list the bound method: thing.{tool}")
    what = f"tool '{tool}': parameter '{parameter}' has no type hint"
    return wrong(place, what, f"write its type, like `{parameter}: str` (ToolContext for the run's context)")


def _not_handed(hint: Any) -> type | None:
    """The class in a hint that is meant to be filled and is not: a declaration, or one of Agno's."""
    named = (kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type))
    return next((kind for kind in named if is_agnos(kind) or issubclass(kind, Declared)), None)


def _no_context(tool: str, parameter: str, kind: type, place: Place) -> Exception:
    of = f" of agno ({PORTING})" if is_agnos(kind) else ""
    what = f"tool '{tool}': parameter '{parameter}' is of type {kind.__name__}{of}, which tools are not handed"
    return wrong(place, what, "take a ToolContext: it has agent_id, session_state, dependencies and more")


def _hints(function: Any, tool: str, place: Place, contexts: list[type]) -> dict[str, Any]:
    plain = inspect.unwrap(unwrapped(function))
    written = {key: hint for key, hint in getattr(plain, "__annotations__", {}).items() if key != "return"}
    known = {**{kind.__name__: kind for kind in contexts}, **getattr(plain, "__globals__", {})}
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__=written), globalns=known, localns=known, include_extras=True
        )
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        what = f"tool '{tool}': its type hints cannot be read ({error})"
        raise wrong(place, what, "import the type at the top of the module, not only under TYPE_CHECKING") from error


def _field(hint: Any, default: Any, description: str | None) -> Any:
    from pydantic import Field
    from pydantic_core import to_jsonable_python

    extra: dict[str, Any] = {}
    if default is not inspect.Parameter.empty:
        if default is None:
            hint = hint | None if not isinstance(hint, str) else hint
        try:
            extra["default"] = to_jsonable_python(default)
        except ValueError:
            extra = {}
    told = _told(hint)
    annotated = Annotated[hint, Field(description=told or description or None, json_schema_extra=extra or None)]
    return annotated if default is inspect.Parameter.empty else NotRequired[annotated]


def _told(hint: Any) -> str | None:
    """The description that the hint itself carries: ``Annotated[str, Field(description=…)]``."""
    if typing.get_origin(hint) is Annotated:
        for extra in typing.get_args(hint)[1:]:
            if text := getattr(extra, "description", None):
                return str(text)
    return None


@functools.cache
def schema_writer() -> type[GenerateJsonSchema]:
    """What writes JSON schemas without a title for every field: models pay for each word."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return Untitled


def _schema(tool: str, fields: dict[str, Any], place: Place) -> tuple[TypeAdapter[dict[str, Any]], dict[str, Any]]:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter
    from typing_extensions import TypedDict

    try:
        arguments = cast("Any", TypedDict)(tool, fields)
        arguments.__pydantic_config__ = ConfigDict(extra="forbid")
        adapter = TypeAdapter(arguments)
        schema = adapter.json_schema(schema_generator=schema_writer())
    except (PydanticUserError, TypeError) as error:
        reason = str(error).splitlines()[0]
        what = f"tool '{tool}': no JSON schema can be made of its parameters ({reason})"
        raise wrong(
            place, what, "use str, int, float, bool, list, dict, enums, dataclasses or pydantic models"
        ) from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return adapter, schema


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each of its parameters."""
    if not _SECTION.search(text):
        return text, {}
    from griffe import (
        Docstring,
        DocstringSectionParameters,
        DocstringSectionText,
        GoogleOptions,
        NumpyOptions,
        SphinxOptions,
    )

    docstring: Docstring
    if _SPHINX.search(text):
        docstring = Docstring(text, parser="sphinx", parser_options=SphinxOptions(warnings=False))
    elif _NUMPY.search(text):
        docstring = Docstring(text, parser="numpy", parser_options=NumpyOptions(warnings=False))
    else:
        docstring = Docstring(text, parser="google", parser_options=GoogleOptions(warnings=False))
    told, described = [], {}
    for section in docstring.parse():
        if isinstance(section, DocstringSectionText):
            told.append(section.value)
        elif isinstance(section, DocstringSectionParameters):
            for parameter in section.value:
                described[parameter.name.lstrip("*")] = " ".join(parameter.description.split())
    return "\n\n".join(told).strip(), described
