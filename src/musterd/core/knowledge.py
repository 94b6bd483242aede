"""Knowledge bases: a search, and the chunks of documents that it returns."""

from dataclasses import dataclass, field
from typing import Literal

from musterd.core.jsontypes import JsonObject
from musterd.core.knowledge_filters import Filter

SearchType = Literal["hybrid", "vector", "keyword"]


class KnowledgeUnavailable(Exception):
    """A search has no answer, because the embedder or the database is not reachable. The text is for users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search in one knowledge base.

    :param query: the text to search for; not empty.
    :param limit: how many chunks to return, 1 to 1,000.
    :param filters: the condition on the metadata of contents; None: all contents.
    :param owner: of a knowledge base per user, whose contents to search in addition to the shared ones.
    """

    query: str
    search_type: SearchType = "hybrid"
    limit: int = 10
    filters: Filter | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a search has returned.

    :param name: the name of its content.
    :param text: its text.
    :param number: its position in the content, from 1.
    :param place: where it stands in the content, such as ``page 3``; None if the content has no such places.
    :param metadata: the metadata of its content.
    :param score: how well it matches, 0 to 1.
    :param rerank_score: the score that a reranker gave, 0 to 1; None: no reranker.
    :param origin: the URL or the file name of its content, if it has one.
    """

    chunk_id: str
    content_id: str
    name: str
    text: str
    number: int = 1
    place: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    score: float = 0.0
    rerank_score: float | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The answer of a search.

    :param hits: the best first; chunks of equal score by content and position.
    :param version: the version of the knowledge base that was searched.
    :param missing: ``vector`` if the embedder failed and only words were searched.
    """

    hits: tuple[Hit, ...] = ()
    version: int = 0
    missing: Literal["vector"] | None = None
