"""Requests as types: base classes for the query, the headers and the JSON body of an operation, and types of fields.

All are pydantic models. An invalid request is answered with status 422 and pydantic's own messages, because clients
of AgentOS, which is a FastAPI application, know these. An empty value of an optional field counts as absent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import QueryParams
from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import InvalidInput, NotFound
from musterd.core.ids import MAX_LENGTH, has_control
from musterd.core.problem_lists import too_many_problems
from musterd.core.settings import Settings
from musterd.core.suggestions import closest_match
from musterd.http.json_bodies import read_object
from musterd.wire.components import DB_ID
from musterd.wire.json_values import NOT_STORABLE, json_problem
from musterd.wire.pages import MAX_PAGES, PAGE_LIMIT
from musterd.wire.problems import Problems

Model = TypeVar("Model", bound="Parameters")
MAX_SEARCH_CHARACTERS = 200
_MISSPELT = 0.85
"""How similar an unknown name has to be to that of a field to be refused. Clients may send other names."""


def _require_storable(text: str) -> str:
    if not jsontext.is_storable(text):
        raise PydanticCustomError("string_unicode", NOT_STORABLE)
    return text


def _require_no_control(text: str) -> str:
    if has_control(text):
        raise PydanticCustomError("string_pattern_mismatch", "String should not contain control characters")
    return text


Text = Annotated[str, AfterValidator(_require_storable)]
"""Text without NUL and lone surrogates."""
SearchText = Annotated[Text, Field(max_length=MAX_SEARCH_CHARACTERS)]
"""A part of a text to search for. A database needs up to its length times that of each text."""
Identifier = Annotated[Text, Field(max_length=MAX_LENGTH), AfterValidator(_require_no_control)]
"""An opaque id that a client may choose: up to 255 characters, no control characters."""


def refuse_boolean(value: Any) -> Any:
    """Refuse true and false, which pydantic reads as the numbers 1 and 0. For validators of the mode ``before``."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    return value


Unread = Annotated[Any, WithJsonSchema({"type": "string"})]
"""A value that is accepted and has no effect."""


def json_value(value: Any) -> Any:
    """The JSON value, native or as text: no NaN, no NUL, no lone surrogate, not nested too deeply.

    :raises PydanticCustomError: it is not.
    """
    if isinstance(value, str):
        try:
            value = jsontext.loads(value)
        except (ValueError, RecursionError):
            raise PydanticCustomError("json_invalid", "Invalid JSON") from None
    if (problem := json_problem(value)) is not None:
        raise PydanticCustomError(*problem)
    return value


def require_json_object(value: Any) -> Any:
    """The JSON object that ``value`` is or contains as text; a validator to use before the one of a type."""
    value = json_value(value)
    if value is not None and not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "Input should be a JSON object")
    return value


JsonObjectField = Annotated[dict[str, Any], BeforeValidator(require_json_object)]
"""A JSON object, native or as text: no NaN, no NUL, no lone surrogate, not nested too deeply."""
OptionalJsonObject = Annotated[dict[str, Any] | None, BeforeValidator(require_json_object)]
"""The same, or null, native or as text."""


def invalid(problems: Iterable[tuple[Sequence[str | int], str, str, Any]]) -> ValidationError:
    """An error for validators to raise that have more than one problem, or one below their own field.

    :param problems: the location below the field, the type, the message and the input of each.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError(kind, message), loc=tuple(location), input=value)
        for location, kind, message, value in problems
    ]
    return ValidationError.from_exception_data("", details)


def comma_separated(values: list[str]) -> list[str]:
    """The items of a query parameter that may be repeated, each value a list separated by commas."""
    return [item for text in values for part in text.split(",") if (item := part.strip())]


class Parameters(BaseModel):
    """The named values of a request. Unknown ones are ignored, as AgentOS does, except for misspelt ones of
    :attr:`restricting`."""

    # Models are built when they are first used: building all of them would double the time of an import.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    restricting: ClassVar[Mapping[str, Sequence[str]]] = {}
    """The fields that restrict the result, so that a request without them would return too much, each with the names
    that it has elsewhere. An unknown name that resembles one of these names is refused."""

    @classmethod
    def misspelt(cls, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The unknown names that probably mean a field that restricts the result, each with the name of the field."""
        if not cls.restricting:
            return
        for name in names:
            if name in cls.model_fields:
                continue
            spelling = name.casefold().replace("-", "_")
            for field, synonyms in cls.restricting.items():
                if closest_match(spelling, (field, *synonyms), similarity=_MISSPELT):
                    yield name, field


class Query(Parameters):
    """The query of a request."""

    @classmethod
    def read(cls, request: Request) -> Self:
        """Read the query of ``request``.

        :raises InvalidInput: a value is wrong; it names each.
        """
        return validated(cls, _values_of(cls, request.query_params), "query")


class Headers(Parameters):
    """Header fields of a request. The alias of a field is the name of its header: ``Field(alias="Last-Event-ID")``."""

    @classmethod
    def read(cls, request: Request) -> Self:
        """Read the headers of ``request``.

        :raises InvalidInput: a value is wrong; it names each.
        """
        values = _values_of(cls, request.headers)
        return validated(cls, values, "header") if values else _without_headers(cls)


class DatabaseQuery(Query):
    """The query of operations for which AgentOS lets a client choose a database. Here there is one."""

    db_id: Text | None = Field(None, description="The id of the database; there is one")

    def model_post_init(self, context: Any) -> None:
        """Refuse a database that does not exist.

        :raises NotFound: ``db_id`` names another database.
        """
        if self.db_id is not None and self.db_id != DB_ID:
            raise NotFound(f"No database found with id '{self.db_id}'")


class TableQuery(DatabaseQuery):
    """The query of operations for which AgentOS also lets a client choose a table."""

    table: Text | None = Field(None, description="Accepted; without effect")


class SortOrder(StrEnum):
    """The direction of a list."""

    ASC = "asc"
    DESC = "desc"


class PageQuery(Query):
    """The query of a list in numbered pages. AgentOS takes 0 as the first page too."""

    limit: int = Field(20, ge=1, le=PAGE_LIMIT, description="Items on a page")
    page: Annotated[int, AfterValidator(lambda page: page or 1)] = Field(
        1, ge=0, le=MAX_PAGES, description="The page, from 1"
    )


class Body(Parameters):
    """The JSON object in the body of a request."""

    is_required: ClassVar[bool] = True
    """Whether there must be a body. A missing one reads as ``{}`` if it is not required."""
    empty_texts: ClassVar[frozenset[str]] = frozenset()
    """The optional fields in which an empty text is a value of its own."""

    @classmethod
    async def read(cls, request: Request, settings: Settings) -> Self:
        """Read the body of ``request``.

        :raises InvalidInput: it is not a JSON object, or a value is wrong; it names each.
        :raises BadRequest: it is too long.
        """
        body = await read_object(request, settings, may_be_empty=not cls.is_required)
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        values = {
            name: value
            for name, value in body.items()
            if name in required or value not in (None, "") or (value == "" and name in cls.empty_texts)
        }
        return validated(cls, values, "body")


@cache
def _fields(model: type[Parameters]) -> tuple[tuple[str, bool], ...]:
    """The names that the fields have in a request, and whether each is a list, whose name may be repeated."""
    return tuple(
        (field.alias or name, get_origin(field.annotation) is list) for name, field in model.model_fields.items()
    )


@cache
def _without_headers(model: type[Model]) -> Model:
    """What most requests have. It cannot be changed, so it is validated once."""
    return validated(model, {}, "header")


def _values_of(model: type[Parameters], source: QueryParams | RequestHeaders) -> dict[str, Any]:
    """The values of the fields of ``model``. An empty value counts as absent, except in a list."""
    values: dict[str, Any] = {}
    for name, is_list in _fields(model):
        value = source.getlist(name) if is_list else source.get(name)
        if value:
            values[name] = value
    return values


def validated(model: type[Model], values: dict[str, Any], part: str) -> Model:
    """The model of these values.

    :param part: the part of the request that they come from: ``path``, ``query``, ``header`` or ``body``.
    :raises InvalidInput: a value is wrong; it names each.
    """
    problems = Problems(part)
    for name, field in model.misspelt(values):
        problems.add(name, "extra_forbidden", f'Unknown field. Did you mean "{field}"?', values[name])
    try:
        body = model.model_validate(values)
    except ValidationError as error:
        if (too_many := too_many_problems(error)) is not None:
            raise InvalidInput.at((part,), "too_long", f"Input has {too_many}") from error
        for problem in error.errors(include_url=False, include_context=False):
            problems.add(problem["loc"], problem["type"], problem["msg"], problem.get("input"))
        problems.raise_if_any()
        raise
    problems.raise_if_any()
    return body
