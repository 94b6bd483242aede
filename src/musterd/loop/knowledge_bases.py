"""The interface between the loop and the server's knowledge bases; the feature ``knowledge`` implements it."""

from collections.abc import Sequence
from typing import Protocol

from musterd.core.knowledge import Hits, Search
from musterd.declare.knowledge import Knowledge


class KnowledgeBases(Protocol):
    """The knowledge bases of the server, for one run.

    :raises KnowledgeUnavailable: from every method, if there is no answer, in words for the model; also if the database
        is away.
    """

    async def search(self, knowledge: Knowledge, search: Search) -> Hits:
        """Search one knowledge base."""
        ...

    async def filter_keys(self, knowledge: Knowledge, owner: str | None) -> Sequence[str]:
        """The keys of the metadata of its contents, in alphabetical order."""
        ...

    async def add_text(self, knowledge: Knowledge, *, name: str, text: str, owner: str | None) -> str:
        """Add a text, or replace the text that a run has added under this name for the run's user, and no other.

        :return: the id of the content, which is read and embedded in the background.
        """
        ...
