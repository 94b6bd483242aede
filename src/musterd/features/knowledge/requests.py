"""The queries and bodies of the operations on knowledge bases."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import BadRequest, InvalidInput
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.knowledge import Search
from musterd.core.knowledge_filters import Filter, FilterInvalid, parse_filters
from musterd.core.media import plain_name
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import MAX_URL_LENGTH
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge.answers import CHUNKER
from musterd.features.knowledge.contents import Details
from musterd.features.knowledge.records import NAME_LENGTH, ContentFilter, NewContent, SourceKind, Splitting, Status
from musterd.features.knowledge.store import SORTABLE
from musterd.http.form_bodies import read_form
from musterd.http.forms import Form
from musterd.http.parameters import Body, Identifier, OptionalJsonObject, PageQuery, Query, SortOrder, Text, validated
from musterd.http.run_requests import Words
from musterd.knowledge.reading import READERS
from musterd.wire.json_values import json_problem
from musterd.wire.pages import MAX_PAGES

MAX_RESULTS = 1000
MAX_QUERY = 10_000
MAX_CHUNK = 100_000
MAX_DESCRIPTION = 4096

_STATUSES = {
    "processing": (Status.QUEUED, Status.READING, Status.EMBEDDING),
    **{status.value: (status,) for status in Status if status is not Status.DELETED},
}

_FILTERS = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]}
Name = Annotated[Text, Field(max_length=NAME_LENGTH)]
Description = Annotated[Text, Field(max_length=MAX_DESCRIPTION)]


def _require_query(query: str) -> str:
    if not query.strip():
        raise PydanticCustomError("string_too_short", "The query is empty. Send the text to search for")
    return query


class BaseQuery(Query):
    """The query of operations on a knowledge base."""

    db_id: Text | None = Field(None, description="The id of the database; there is one")
    knowledge_id: Text | None = Field(
        None, description="The id of the knowledge base; it may be left out if there is one"
    )


class SourceQuery(Query):
    """The query of operations on the sources of a knowledge base that the path names."""

    db_id: Text | None = Field(None, description="The id of the database; there is one")


class SourceFilesQuery(SourceQuery):
    """The query of the files of a source."""

    prefix: Text | None = Field(None, description="The beginning of the names")
    limit: int = Field(100, ge=1, le=MAX_RESULTS, description="Files on a page")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")
    delimiter: Text = Field("/", description="What separates folders")


class ContentQuery(BaseQuery):
    """The query of one content."""

    wait: float | None = Field(None, ge=0, description="Seconds to wait for its job, at most MUSTERD_WAIT_MAX_SECONDS")


class ContentsQuery(PageQuery, BaseQuery):
    """The query of the list of contents."""

    sort_by: Text = Field("created_at", description=f"One of {', '.join(f'`{name}`' for name in SORTABLE)}")
    sort_order: SortOrder = SortOrder.DESC
    status: Text | None = Field(None, description=f"One of {', '.join(f'`{name}`' for name in _STATUSES)}")
    name: Text | None = Field(None, description="Only the contents of this name")
    metadata: Text | None = Field(
        None, description='Only contents whose metadata match: `{"key": "value"}` as JSON text'
    )

    @field_validator("sort_by", "status")
    @classmethod
    def _require_known(cls, value: str | None, info: Any) -> str | None:
        known = SORTABLE if info.field_name == "sort_by" else _STATUSES
        if value is not None and value not in known:
            raise PydanticCustomError("enum", f"Input should be one of {', '.join(known)}")
        return value

    @property
    def filter(self) -> ContentFilter:
        """What to list.

        :raises InvalidInput: ``metadata`` is not a filter.
        """
        return ContentFilter(
            statuses=_STATUSES[self.status] if self.status is not None else (),
            name=self.name,
            metadata=None if self.metadata is None else _filter(self.metadata, ("query", "metadata")),
            sort_by=self.sort_by,
            is_descending=self.sort_order is SortOrder.DESC,
            limit=self.limit,
            page=self.page,
        )


class _SplittingForm(Form):
    """How a content is read and split."""

    name: Name | None = Field(None, description="A content of this name is replaced. Without it: of the file or URL.")
    description: Description | None = None
    metadata: OptionalJsonObject = Field(None, description="A JSON object; searches can be limited by it.")
    reader_id: Text | None = Field(None, description="A reader of `/knowledge/config`; without it as the kind needs.")
    chunker: Text | None = Field(None, description="A chunker of `/knowledge/config`; there is one.")
    chunk_size: int | None = Field(None, ge=1, le=MAX_CHUNK, description="The longest chunk, in characters.")
    chunk_overlap: int | None = Field(
        None, ge=0, le=MAX_CHUNK, description="How many characters of a chunk the next one may repeat."
    )

    @field_validator("reader_id", "chunker")
    @classmethod
    def _require_known(cls, value: str | None, info: Any) -> str | None:
        known = list(READERS) if info.field_name == "reader_id" else [CHUNKER]
        if value is not None and value not in known:
            raise PydanticCustomError("enum", f"Input should be one of {', '.join(known)}")
        return value

    def splitting(self, knowledge: Knowledge) -> Splitting:
        """How the content is read and split.

        :raises InvalidInput: chunks would mostly repeat the ones before them.
        """
        overlap = self.chunk_overlap or 0
        if overlap * 2 > (self.chunk_size or knowledge.chunk_characters):
            words = "Input should be at most half of chunk_size"
            raise InvalidInput.at(("body", "chunk_overlap"), "less_than_equal", words, overlap)
        return Splitting(reader=self.reader_id, characters=self.chunk_size, overlap=overlap)


class UploadContent(_SplittingForm):
    """A content to add: exactly one of `file`, `text_content` and `url`."""

    file: Annotated[Any, Field(json_schema_extra={"type": "string", "format": "binary"})] = Field(
        None, description="A document, in a multipart form."
    )
    text_content: Words | None = Field(None, description="A text.")
    url: Text | None = Field(
        None, max_length=MAX_URL_LENGTH, description="A document that is fetched. Not in private networks."
    )
    _upload: tuple[bytes, str | None, str | None] | None = PrivateAttr(None)

    @classmethod
    async def read(cls, request: Request, settings: Settings) -> Self:
        """Read the body of ``request`` with its file.

        :raises InvalidInput: a value is wrong; it names each.
        :raises BadRequest: it cannot be read, or is too long.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type == "application/json":
            return await super().read(request, settings)
        form = await read_form(request, content_type, settings)
        try:
            values = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            body = cls.of(values)
            for name, file in form.multi_items():
                # A browser sends an empty file without a name for a file field in which nothing was chosen.
                if name == "file" and isinstance(file, UploadFile) and (file.filename or file.size):
                    if body._upload is not None:
                        raise InvalidInput.at(("body", "file"), "too_many", "Send one file in a request")
                    file_name = plain_name(file.filename or "") or None
                    body._upload = (await file.read(), file_name, file.content_type)
        finally:
            await form.close()
        return body

    def new_content(self, knowledge: Knowledge) -> NewContent:
        """What is added.

        :raises InvalidInput: it is none of a file, a text and a URL, or several of them.
        """
        values: JsonObject = {
            "name": self.name,
            "description": self.description,
            "metadata": self.metadata,
            "splitting": self.splitting(knowledge),
        }
        sources: list[JsonObject] = []
        if self._upload is not None:
            content, file_name, media_type = self._upload
            origin = (file_name or "")[:NAME_LENGTH] or None
            sources.append({"source": SourceKind.FILE, "content": content, "origin": origin, "media_type": media_type})
        if self.text_content is not None:
            sources.append({"source": SourceKind.TEXT, "content": self.text_content.encode()})
        if self.url is not None:
            sources.append({"source": SourceKind.URL, "origin": self.url})
        if len(sources) != 1:
            words = "Field required: one of file, text_content and url" if not sources else "Only one is accepted"
            raise InvalidInput.at(("body", "file"), "missing" if not sources else "value_error", words)
        return NewContent(**values, **sources[0])


class UploadRemoteContent(_SplittingForm):
    """A content of a remote source to add."""

    config_id: Words = Field(description="The id of the source.")
    path: Words = Field(description="The file or folder in it.")


class UpdateContent(Form):
    """Changes to a content. Fields that are left out stay as they are."""

    is_required: ClassVar[bool] = False

    name: Name | None = None
    description: Description | None = None
    metadata: Annotated[Any, Field(json_schema_extra={"type": "object"})] = Field(
        None, description="A JSON object; its keys replace those that the content has."
    )
    reader_id: Text | None = Field(None, description="With which it is read when it is added again.")

    def details(self) -> Details:
        """The changes.

        :raises BadRequest: the metadata are no JSON object, or there is no such reader. AgentOS does not answer 422
            here.
        """
        if self.reader_id is not None and self.reader_id not in READERS:
            raise BadRequest(f"Invalid reader_id: {self.reader_id}")
        return Details(
            name=self.name, description=self.description, metadata=_metadata(self.metadata), reader=self.reader_id
        )


class SearchPage(Body):
    """A page of the results."""

    limit: int = Field(20, ge=1, le=MAX_RESULTS, description="Results on a page.")
    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1.")


class SearchRequest(Body):
    """A search."""

    restricting: ClassVar[Mapping[str, Sequence[str]]] = {"filters": ("knowledge_filters", "metadata_filters")}

    query: Annotated[Text, Field(max_length=MAX_QUERY), AfterValidator(_require_query)] = Field(
        description="What is searched for; not empty."
    )
    db_id: Text | None = None
    knowledge_id: Text | None = None
    vector_db_ids: list[Identifier] | None = Field(None, max_length=MAX_RESULTS)
    search_type: Literal["hybrid", "vector", "keyword"] | None = Field(
        None, description="By words, by vectors, or by both; without it as the knowledge base declares."
    )
    max_results: int | None = Field(None, ge=1, le=MAX_RESULTS, description="How many results there are at most.")
    filters: Annotated[Any, WithJsonSchema(_FILTERS)] = Field(
        None, description='`{"key": "value"}`, an expression `{"op": "EQ", "key": …, "value": …}`, or a list of them.'
    )
    meta: SearchPage | None = None

    def search(self, knowledge: Knowledge) -> Search:
        """The search.

        :raises InvalidInput: the filters have no meaning.
        :raises BadRequest: ``vector_db_ids`` names other ones.
        """
        if self.vector_db_ids and knowledge.id not in self.vector_db_ids:
            named = f"None of the provided Vector DB IDs {self.vector_db_ids}"
            raise BadRequest(f"{named} match the knowledge base Vector DB ID {knowledge.id}")
        search_type: Any = self.search_type or knowledge.search_type
        return Search(
            query=self.query,
            search_type=search_type,
            limit=self.max_results or knowledge.max_results,
            filters=_filter(self.filters, ("body", "filters")),
        )

    @property
    def page(self) -> SearchPage:
        """The page of the results that is answered."""
        return self.meta or validated(SearchPage, {}, "body")


def _filter(value: Json, location: tuple[str, ...]) -> Filter | None:
    try:
        if isinstance(value, str):
            value = jsontext.loads(value)
        return parse_filters(value)
    except (FilterInvalid, RecursionError) as error:
        raise InvalidInput.at(location, "value_error", str(error)) from error
    except ValueError as error:
        raise InvalidInput.at(location, "json_invalid", "Invalid JSON") from error


def _metadata(value: Json) -> JsonObject | None:
    if value is None:
        return None
    try:
        value = jsontext.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadRequest("Invalid JSON format for metadata") from error
    if not isinstance(value, dict) or json_problem(value) is not None:
        raise BadRequest("Invalid JSON format for metadata")
    return value
