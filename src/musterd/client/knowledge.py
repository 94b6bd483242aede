"""Knowledge bases: their contents, and searches in them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .paging import Page, PagedList
from .polling import poll
from .requests import Requests, new_key, path_of
from .uploads import AnyFile, body_of
from .wire_record import WireRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(WireRecord):
    """A document, a text or a page in a knowledge base.

    :param status: ``processing``, ``completed`` or ``failed``. Searches find it once it has completed.
    :param status_message: why it failed.
    :param origin: its URL, or the name of its file.
    :param chunks: how many chunks it has.
    :param created_at: ISO 8601.
    """

    id: str
    name: str | None
    description: str | None
    status: str
    status_message: str | None
    origin: str | None
    metadata: dict[str, Any] | None
    chunks: int
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit(WireRecord):
    """A chunk of a content that a search has found.

    :param content: its text.
    :param name: that of its content.
    :param meta_data: the content's metadata, with ``chunk`` and ``similarity_score``.
    """

    id: str
    content: str
    name: str | None
    content_id: str | None
    content_origin: str | None
    meta_data: dict[str, Any] | None


class ContentOptions(TypedDict, total=False):
    """How a content is added.

    :param name: a content of this name is replaced; by default that of the file or the URL.
    :param metadata: searches can be limited by it.
    :param chunk_size: the longest chunk, in characters.
    :param idempotency_key: add it once, also if this call is made again.
    """

    name: str
    description: str
    metadata: Mapping[str, Any]
    reader_id: str
    chunk_size: int
    chunk_overlap: int
    idempotency_key: str


class ContentFilters(TypedDict, total=False):
    """Which contents are listed.

    :param knowledge_id: needed if there are several knowledge bases.
    :param status: ``processing``, ``completed`` or ``failed``.
    :param metadata: those whose metadata match, such as ``{"year": 2026}``.
    """

    knowledge_id: str | None
    status: str | None
    name: str | None
    metadata: Mapping[str, Any] | None


class SearchOptions(TypedDict, total=False):
    """How a knowledge base is searched.

    :param knowledge_id: needed if there are several knowledge bases.
    :param search_type: ``hybrid``, ``vector`` or ``keyword``; by default as the knowledge base declares.
    :param filters: ``{"key": "value"}`` of the metadata, an expression, or a list of them.
    """

    knowledge_id: str | None
    search_type: str | None
    filters: Mapping[str, Any] | Sequence[Mapping[str, Any]]


_LIST = PagedList("/knowledge/content", Content, "id")


class Knowledge(Resource[D]):
    """The contents of knowledge bases. ``knowledge_id`` is needed if there are several."""

    @call
    def upload(
        self,
        file: AnyFile | None = None,
        *,
        text: str | None = None,
        url: str | None = None,
        knowledge_id: str | None = None,
        **options: Unpack[ContentOptions],
    ) -> Flow[Content]:
        """Add a file, a text or a page. The server has stored it when this returns, and reads it: see :meth:`wait`.

        :param file: a path, or a content with its name; in place of ``text`` and ``url``.
        :param url: what is there is fetched by the server.
        :param options: :class:`ContentOptions`.
        """
        fields: dict[str, Any] = {**options, "text_content": text, "url": url}
        key = new_key(fields.pop("idempotency_key", None))
        body = body_of(fields, "file", [] if file is None else [file])
        query = {"knowledge_id": knowledge_id}
        raw = yield from self._requests.json("POST", "/knowledge/content", query=query, headers=key, **body)
        return Content.of(raw)

    @call
    def wait(
        self, content: Content | str, *, wait_seconds: float | None = None, knowledge_id: str | None = None
    ) -> Flow[Content]:
        """Wait until a content can be found, or has failed.

        :param wait_seconds: the longest wait, after which its status is still ``processing``; by default no limit.
        """
        content_id = content if isinstance(content, str) else content.id

        def read(seconds: float, deadline: float) -> Flow[Content]:
            return _read(self._requests, content_id, knowledge_id, seconds, deadline)

        settled = yield from poll(read, lambda content: content.status != "processing", wait_seconds)
        return settled

    @call
    def list(self, *, limit: int = 20, page: int = 1, **filters: Unpack[ContentFilters]) -> Flow[Page[Content]]:
        """List contents, newest first.

        :param filters: :class:`ContentFilters`.
        """
        contents = yield from _LIST.page(self._requests, _query(filters), limit, page)
        return contents

    @stream_call
    def all(self, **filters: Unpack[ContentFilters]) -> StreamFlow[Content]:
        """All contents, newest first, each once.

        :param filters: :class:`ContentFilters`.
        """
        yield from _LIST.all(self._requests, _query(filters))

    @call
    def get(self, content_id: str, *, knowledge_id: str | None = None) -> Flow[Content]:
        """Get one content."""
        content = yield from _read(self._requests, content_id, knowledge_id)
        return content

    @call
    def refresh(self, content_id: str, *, knowledge_id: str | None = None) -> Flow[Content]:
        """Fetch the URL of a content again. Until then, searches find the version before."""
        path, query = path_of("knowledge", "content", content_id, "refresh"), {"knowledge_id": knowledge_id}
        raw = yield from self._requests.json("POST", path, query=query)
        return Content.of(raw)

    @call
    def delete(self, content_id: str, *, knowledge_id: str | None = None) -> Flow[None]:
        """Delete a content. An id that does not exist is ignored."""
        query = {"knowledge_id": knowledge_id}
        yield from self._requests.delete(path_of("knowledge", "content", content_id), query=query)

    @call
    def search(self, text: str, *, limit: int = 20, **options: Unpack[SearchOptions]) -> Flow[tuple[SearchHit, ...]]:
        """Search a knowledge base. The best chunks come first.

        :param limit: how many at most.
        :param options: :class:`SearchOptions`.
        """
        body = {"query": text, "max_results": limit, "meta": {"limit": limit}, **options}
        raw = yield from self._requests.json("POST", "/knowledge/search", json=body)
        return tuple(map(SearchHit.of, raw["data"]))


def _query(filters: ContentFilters) -> dict[str, Any]:
    metadata = filters.get("metadata")
    return {**filters, "metadata": None if metadata is None else json.dumps(metadata)}


def _read(
    requests: Requests, content_id: str, knowledge_id: str | None, seconds: float = 0, deadline: float = math.inf
) -> Flow[Content]:
    query = {"knowledge_id": knowledge_id, "wait": round(seconds, 3) or None}
    options: dict[str, Any] = {"query": query, "server_seconds": seconds, "deadline": deadline}
    raw = yield from requests.json("GET", path_of("knowledge", "content", content_id), **options)
    return Content.of(raw)
