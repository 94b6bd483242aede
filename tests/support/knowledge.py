"""Knowledge bases in memory, for tests of what runs do with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from musterd.core.jsontypes import JsonObject
from musterd.core.knowledge import Hit, Hits, KnowledgeUnavailable, Search
from musterd.core.knowledge_filters import matches
from musterd.declare import Knowledge
from musterd.http.feature import Feature


@dataclass(frozen=True, kw_only=True)
class Content:
    """A content of one chunk; without an owner it is shared."""

    name: str
    text: str
    metadata: JsonObject = field(default_factory=dict)
    owner: str | None = None


OSLO = Content(name="norway.md", text="Oslo is the capital of Norway.", metadata={"country": "no", "year": 2024})
STOCKHOLM = Content(name="sweden.md", text="Stockholm is the capital of Sweden.", metadata={"country": "se"})


@dataclass
class FakeBases:
    """Finds the contents that share a word with the query; implements the loop's ``KnowledgeBases``.

    ``searches`` are the searches so far, and ``added`` the texts.
    """

    contents: list[Content] = field(default_factory=lambda: [OSLO, STOCKHOLM])
    missing: Literal["vector"] | None = None
    problem: str | None = None
    searches: list[Search] = field(default_factory=list)
    added: list[Content] = field(default_factory=list)

    async def search(self, knowledge: Knowledge, search: Search) -> Hits:
        """Search the contents, whatever the knowledge base."""
        self.searches.append(search)
        self._require_available()
        words = set(search.query.lower().split())
        hits = [
            Hit(
                chunk_id=f"{content.name}/1",
                content_id=f"id of {content.name}",
                name=content.name,
                text=content.text,
                place="page 1",
                metadata=content.metadata,
                score=0.51234,
                origin=content.name,
            )
            for content in self._visible(search.owner)
            if words & set(content.text.lower().rstrip(".").split()) and matches(search.filters, content.metadata)
        ]
        return Hits(hits=tuple(hits[: search.limit]), version=1, missing=self.missing)

    async def filter_keys(self, knowledge: Knowledge, owner: str | None) -> Sequence[str]:
        """The keys in use."""
        self._require_available()
        return sorted({key for content in self._visible(owner) for key in content.metadata})

    async def add_text(self, knowledge: Knowledge, *, name: str, text: str, owner: str | None) -> str:
        """Keep the text."""
        self._require_available()
        self.added.append(Content(name=name, text=text, owner=owner))
        return f"id of {name}"

    def feature(self) -> Feature:
        """The feature of a server that has these knowledge bases."""
        return Feature(service=lambda server: self, operations=[], knowledge_bases=lambda bases: bases)

    def _visible(self, owner: str | None) -> list[Content]:
        return [content for content in self.contents if content.owner in (None, owner)]

    def _require_available(self) -> None:
        if self.problem is not None:
            raise KnowledgeUnavailable(self.problem)
