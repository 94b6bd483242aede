"""Contents, chunks and knowledge bases as they are answered."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.knowledge import Hit, Hits
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge.records import Content, SourceKind, Status
from musterd.knowledge.reading import READERS
from musterd.wire.shapes import PaginationInfo, Time
from musterd.wire.times import iso_seconds

WireStatus = Literal["processing", "completed", "failed"]
Step = Literal["queued", "reading", "embedding", "completed", "failed"]

CHUNKER = "DocumentChunker"
"""The one way in which contents are split, under the name that AgentOS has for it."""
SEARCH_TYPES = ["hybrid", "vector", "keyword"]


class Progress(TypedDict):
    """How far the job of a content is."""

    step: Step
    done: Annotated[int, Field(description="Chunks that are embedded.")]
    total: Annotated[int | None, Field(description="All chunks; null until the content is split.")]


class ContentResponse(TypedDict):
    """A content of a knowledge base."""

    id: str
    name: NotRequired[str | None]
    description: NotRequired[str | None]
    type: NotRequired[str | None]
    size: NotRequired[Annotated[str | None, Field(description="Its bytes, as text.")]]
    linked_to: NotRequired[Annotated[str | None, Field(description="The name of the knowledge base.")]]
    metadata: NotRequired[dict[str, Any] | None]
    access_count: NotRequired[int | None]
    status: NotRequired[WireStatus | None]
    status_message: NotRequired[str | None]
    created_at: NotRequired[Time | None]
    updated_at: NotRequired[Time | None]
    origin: NotRequired[Annotated[str | None, Field(description="Its URL, or the name of its file.")]]
    chunks: NotRequired[Annotated[int, Field(description="How many chunks searches find.")]]
    progress: NotRequired[Progress]
    attempts: NotRequired[Annotated[int, Field(description="How often a process took up its job.")]]


class ContentStatusResponse(TypedDict):
    """How far the job of a content is."""

    id: str | None
    status: WireStatus
    status_message: str
    chunks: int
    progress: Progress
    attempts: int


class SearchResult(TypedDict):
    """A chunk that a search has found."""

    id: str
    content: str
    name: str | None
    meta_data: Annotated[
        dict[str, Any] | None,
        Field(description="The content's metadata, and `chunk`, `chunk_size`, `place`, `similarity_score`."),
    ]
    usage: dict[str, Any] | None
    reranking_score: float | None
    content_id: str | None
    content_origin: str | None
    size: int | None


class SearchInfo(PaginationInfo):
    """Where a page stands in the results."""

    degraded: NotRequired[
        Annotated[Literal["vector"], Field(description="The search was made by words alone, because vectors failed.")]
    ]


class SearchResponse(TypedDict):
    """One page of results, the best first."""

    data: list[SearchResult]
    meta: SearchInfo


class ReaderResponse(TypedDict):
    """A reader of documents."""

    id: str
    name: str | None
    description: str | None
    chunkers: list[str] | None


class ChunkerResponse(TypedDict):
    """A way to split documents."""

    key: str
    name: str | None
    description: str | None
    metadata: dict[str, Any] | None


class VectorDbResponse(TypedDict):
    """Where chunks are searched: in the server's own database."""

    id: str
    name: str | None
    description: str | None
    search_types: list[str] | None


class SourceResponse(TypedDict):
    """A remote source of contents. There is none."""

    id: str
    name: str
    type: str
    metadata: dict[str, Any] | None
    prefix: str | None


class KnowledgeConfigResponse(TypedDict):
    """How contents are read, split and searched."""

    readers: dict[str, ReaderResponse] | None
    readersForType: dict[str, list[str]] | None
    chunkers: dict[str, ChunkerResponse] | None
    vector_dbs: list[VectorDbResponse] | None
    filters: Annotated[list[str] | None, Field(description="The keys of metadata that contents have.")]
    remote_content_sources: list[SourceResponse] | None


class SourceFile(TypedDict):
    """A file of a remote source."""

    key: str
    name: str
    size: int | None
    last_modified: Time | None
    content_type: str | None


class SourceFolder(TypedDict):
    """A folder of a remote source."""

    prefix: str
    name: str
    is_empty: bool


class SourceFilesResponse(TypedDict):
    """The files of a remote source."""

    source_id: str
    source_name: str
    prefix: str | None
    folders: list[SourceFolder]
    files: list[SourceFile]
    meta: PaginationInfo


def content_object(content: Content, knowledge: Knowledge) -> ContentResponse:
    """A content."""
    return {
        "id": content.id,
        "name": content.name,
        "description": content.description,
        "type": _type(content),
        "size": str(content.size),
        "linked_to": knowledge.title,
        "metadata": content.metadata,
        "access_count": None,
        "status": _status(content),
        "status_message": content.status_message,
        "created_at": iso_seconds(content.created_at),
        "updated_at": iso_seconds(content.updated_at),
        "origin": content.origin,
        "chunks": content.chunks,
        "progress": _progress(content),
        "attempts": content.attempts,
    }


def status_object(content: Content) -> ContentStatusResponse:
    """How far the job of a content is."""
    return {
        "id": content.id,
        "status": _status(content),
        "status_message": content.status_message,
        "chunks": content.chunks,
        "progress": _progress(content),
        "attempts": content.attempts,
    }


def search_object(hits: Hits, knowledge: Knowledge, *, page: int, limit: int, seconds: float) -> SearchResponse:
    """One page of the results of a search."""
    total = len(hits.hits)
    meta: SearchInfo = {
        "page": page,
        "limit": limit,
        "total_pages": -(-total // limit),
        "total_count": total,
        "search_time_ms": round(seconds * 1000, 3),
    }
    if hits.missing is not None:
        meta["degraded"] = hits.missing
    return {
        "data": [result_object(hit, knowledge) for hit in hits.hits[(page - 1) * limit : page * limit]],
        "meta": meta,
    }


def config_object(knowledge: Knowledge, filters: list[str]) -> KnowledgeConfigResponse:
    """How contents of a knowledge base are read, split and searched."""
    readers_for_type: dict[str, list[str]] = {}
    for reader in READERS.values():
        for suffix in reader.suffixes:
            readers_for_type.setdefault(suffix, []).append(reader.id)
    return {
        "readers": {
            reader.id: {
                "id": reader.id,
                "name": reader.name,
                "description": reader.description,
                "chunkers": [CHUNKER],
            }
            for reader in READERS.values()
        },
        "readersForType": readers_for_type,
        "chunkers": {
            CHUNKER: {
                "key": CHUNKER,
                "name": CHUNKER,
                "description": "Splits text at its headings, paragraphs and sentences.",
                "metadata": {"chunk_size": knowledge.chunk_characters},
            }
        },
        "vector_dbs": [
            {
                "id": knowledge.id,
                "name": knowledge.title,
                "description": knowledge.description,
                "search_types": SEARCH_TYPES,
            }
        ],
        "filters": filters,
        "remote_content_sources": None,
    }


def _status(content: Content) -> WireStatus:
    if content.status is Status.FAILED:
        return "failed"
    return "completed" if content.status is Status.COMPLETED else "processing"


def _progress(content: Content) -> Progress:
    step: Any = content.status.value
    return {"step": step, "done": content.done, "total": content.chunk_total}


def _type(content: Content) -> str | None:
    """As AgentOS names it: ``manual`` for a text that was sent, else the kind of document."""
    return "manual" if content.source in (SourceKind.TEXT, SourceKind.RUN) else content.kind or content.source.value


def result_object(hit: Hit, knowledge: Knowledge) -> SearchResult:
    """A chunk that a search has found."""
    place = {} if hit.place is None else {"place": hit.place}
    return {
        "id": hit.chunk_id,
        "content": hit.text,
        "name": hit.name,
        "meta_data": {
            **hit.metadata,
            "chunk": hit.number,
            "chunk_size": len(hit.text),
            "linked_to": knowledge.title,
            **place,
            "similarity_score": hit.score,
        },
        "usage": None,
        "reranking_score": hit.rerank_score,
        "content_id": hit.content_id,
        "content_origin": hit.origin,
        "size": None,
    }
