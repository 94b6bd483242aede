"""What a replay has in place of models, memories and knowledge bases. None of it is called for an answer."""

from collections.abc import Collection, Sequence

from pydantic_ai.models import Model

from musterd.core.errors import DeclarationError
from musterd.core.knowledge import Hits, KnowledgeUnavailable, Search
from musterd.core.settings import Settings
from musterd.core.user_memories import UserMemory
from musterd.declare import Knowledge
from musterd.models.resolve import resolve
from musterd.testing.declared_model import DeclaredModel


def stand_in(model: str | Model, settings: Settings) -> Model:
    """The declared model, which is asked only what it can read; without its package or key, one that reads all."""
    try:
        return resolve(model, settings)
    except DeclarationError:
        return DeclaredModel(model)


class NoMemories:
    """Memories of a user whose memories are recorded."""

    async def newest(self, limit: int) -> Sequence[UserMemory]:
        """None."""
        return ()

    async def texts(self, limit: int) -> Sequence[tuple[str, str]]:
        """None."""
        return ()

    async def matching(self, ids: Collection[str], keys: Collection[str]) -> Sequence[UserMemory]:
        """None."""
        return ()


class NoKnowledge:
    """Knowledge bases that answer nothing: what searches found is recorded."""

    async def search(self, knowledge: Knowledge, search: Search) -> Hits:
        """Find nothing.

        :raises KnowledgeUnavailable: always.
        """
        raise KnowledgeUnavailable("a replay searches nothing")

    async def filter_keys(self, knowledge: Knowledge, owner: str | None) -> Sequence[str]:
        """No keys."""
        return ()

    async def add_text(self, knowledge: Knowledge, *, name: str, text: str, owner: str | None) -> str:
        """Store nothing.

        :raises KnowledgeUnavailable: always.
        """
        raise KnowledgeUnavailable("a replay stores nothing")
