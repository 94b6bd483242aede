"""Derives the JSON schema and descriptions of a tool from its function, and converts arguments for calls.

pydantic makes schemas and conversions, and griffe parses docstrings. Both are imported lazily, with the first tool.
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

from musterd.core.problem_lists import read_problems
from musterd.declare.options import Declared
from musterd.declare.source_location import PORTING, Place, declaration_error, is_from_agno

if TYPE_CHECKING:
    from types import CodeType

    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Only docstrings with sections need a parser.
_SECTION_START = re.compile(r"^\s*(?:[A-Z][A-Za-z ]+:\s*$|:\w+|-{3,}\s*$)", re.MULTILINE)
_NUMPY = re.compile(r"^\s*(?:Parameters|Returns|Other Parameters|Raises)\s*\n\s*-{3,}\s*$", re.MULTILINE)
_SPHINX = re.compile(r"^\s*:(?:param|parameter|arg|argument|key|returns?|raises?|type|rtype)\b[^\n]*:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """The signature of a tool's function.

    :param description: the docstring without its sections.
    :param parameters: the JSON schema of the arguments.
    :param positional: the positional-only parameters, in order.
    :param context_name: the parameter that takes the context of the call, if there is one.
    """

    description: str
    parameters: dict[str, Any]
    is_async: bool
    positional: tuple[str, ...]
    context_name: str | None
    adapter: TypeAdapter[dict[str, Any]]

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Convert arguments to the types of the hints. Raises ValueError, which :meth:`problems` explains."""
        return self.adapter.validate_python(arguments)

    def problems(self, error: ValueError) -> Iterator[tuple[str, str | None]]:
        """The problems of the arguments as (location, message); the message is None for an unknown name."""
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            yield "", str(error)
            return
        details = read_problems(error)
        if isinstance(details, str):
            yield "arguments", details
            return
        for detail in details:
            location = ".".join(str(part) for part in detail["loc"])
            is_unknown = detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1
            yield location, None if is_unknown else detail["msg"]

    def arrange(self, arguments: dict[str, Any], context: Any) -> tuple[list[Any], dict[str, Any]]:
        """The positional and keyword arguments of the call."""
        by_name = dict(arguments)
        if self.context_name is not None:
            by_name[self.context_name] = context
        positional = []
        for name in self.positional:
            if name not in by_name:
                break
            positional.append(by_name.pop(name))
        return positional, by_name


def unwrapped(function: Any) -> Any:
    """The plain function inside partials, methods and callable objects, if there is one."""
    if isinstance(function, functools.partial):
        return unwrapped(function.func)
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isroutine(function):
        return function
    call_method = inspect.getattr_static(function, "__call__", None)
    return call_method if inspect.isfunction(call_method) else function


def code_of(function: Any) -> CodeType | None:
    """The code object of ``function``, which has its source location."""
    return getattr(inspect.unwrap(unwrapped(function)), "__code__", None)


def read_signature(function: Any, name: str, place: Place, context_type: type) -> Signature:
    """Read the signature of ``function``.

    :param context_type: parameters of this type or one of its base classes are hidden from the model.
    :raises DeclarationError: a parameter has no hint, or one that has no JSON schema.
    """
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise declaration_error(
            place, f"tool '{name}' has no readable signature", "wrap it in a function with def"
        ) from error
    context_types = [kind for kind in context_type.__mro__ if kind is not object]
    hints = _hints(function, name, place, context_types)
    description, parameter_docs = parse_docstring(inspect.getdoc(unwrapped(function)) or "")
    fields: dict[str, Any] = {}
    context_name = None
    for parameter in parameters.values():
        if parameter.kind in _VARIADIC:
            continue
        if parameter.name not in hints:
            raise _missing_hint_error(name, parameter.name, place)
        hint = hints[parameter.name]
        if any(hint is kind or kind in typing.get_args(hint) for kind in context_types):
            context_name = parameter.name
        elif (unfillable := _unfillable_class(hint)) is not None:
            raise _unfillable_error(name, parameter.name, unfillable, place)
        else:
            fields[parameter.name] = _field(hint, parameter.default, parameter_docs.get(parameter.name))
    adapter, schema = _schema(name, fields, place)
    positional = [
        parameter.name for parameter in parameters.values() if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(unwrapped(function))
    return Signature(
        description=description,
        parameters=schema,
        is_async=is_async,
        positional=tuple(positional),
        context_name=context_name,
        adapter=adapter,
    )


def _missing_hint_error(tool: str, parameter: str, place: Place) -> Exception:
    if parameter in ("self", "cls"):
        return declaration_error(place, f"tool '{tool}' is an unbound method", f"list the bound method: thing.{tool}")
    problem = f"tool '{tool}': parameter '{parameter}' has no type hint"
    return declaration_error(
        place, problem, f"write its type, like `{parameter}: str` (ToolContext for the run's context)"
    )


def _unfillable_class(hint: Any) -> type | None:
    """The class in a hint that musterd does not fill: a declaration, or a class of Agno."""
    classes = (kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type))
    return next((kind for kind in classes if is_from_agno(kind) or issubclass(kind, Declared)), None)


def _unfillable_error(tool: str, parameter: str, kind: type, place: Place) -> Exception:
    origin = f" of agno ({PORTING})" if is_from_agno(kind) else ""
    problem = f"tool '{tool}': parameter '{parameter}' is of type {kind.__name__}{origin}, which tools cannot receive"
    return declaration_error(place, problem, "use a ToolContext; it has agent_id, session_state, dependencies and more")


def _hints(function: Any, tool: str, place: Place, context_types: list[type]) -> dict[str, Any]:
    plain = inspect.unwrap(unwrapped(function))
    annotations = {key: hint for key, hint in getattr(plain, "__annotations__", {}).items() if key != "return"}
    # The context classes are added by name, because user modules may import them under TYPE_CHECKING only.
    names = {**{kind.__name__: kind for kind in context_types}, **getattr(plain, "__globals__", {})}
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__=annotations), globalns=names, localns=names, include_extras=True
        )
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        problem = f"tool '{tool}': its type hints cannot be read ({error})"
        raise declaration_error(
            place, problem, "import the type at the top of the module, not only under TYPE_CHECKING"
        ) from error


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
    hint_description = _hint_description(hint)
    annotated = Annotated[
        hint, Field(description=hint_description or description or None, json_schema_extra=extra or None)
    ]
    return annotated if default is inspect.Parameter.empty else NotRequired[annotated]


def _hint_description(hint: Any) -> str | None:
    """The description in the hint itself: ``Annotated[str, Field(description=…)]``."""
    if typing.get_origin(hint) is Annotated:
        for extra in typing.get_args(hint)[1:]:
            if text := getattr(extra, "description", None):
                return str(text)
    return None


@functools.cache
def schema_writer() -> type[GenerateJsonSchema]:
    """Generates JSON schemas without a title for every field, because titles cost tokens."""
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
        problem = f"tool '{tool}': no JSON schema can be generated for its parameters ({reason})"
        raise declaration_error(
            place, problem, "use str, int, float, bool, list, dict, enums, dataclasses or pydantic models"
        ) from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return adapter, schema


def parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The descriptions of the function and of each parameter in a docstring."""
    if not _SECTION_START.search(text):
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
    texts, parameter_docs = [], {}
    for section in docstring.parse():
        if isinstance(section, DocstringSectionText):
            texts.append(section.value)
        elif isinstance(section, DocstringSectionParameters):
            for parameter in section.value:
                parameter_docs[parameter.name.lstrip("*")] = " ".join(parameter.description.split())
    return "\n\n".join(texts).strip(), parameter_docs
