"""Embedders: texts as vectors of int8 numbers, by the builtin one, by MiniLM or by a model of a provider."""

from collections.abc import Sequence
from typing import Protocol

from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.declare.knowledge import BUILTIN_EMBEDDER, MINILM_EMBEDDER, Knowledge
from musterd.knowledge import extra
from musterd.knowledge.problems import EmbedderFailed, ExtraMissing, KnowledgeProblem, UnknownEmbedder

__all__ = ["Embedder", "EmbedderFailed", "embedder_of", "is_available"]


class Embedder(Protocol):
    """Embeds texts. Vectors of the same embedder have the same length and are compared by their cosine."""

    @property
    def name(self) -> str:
        """The model with its version; vectors of different names are never compared."""
        ...

    @property
    def vector_weight(self) -> float:
        """How much a search by these vectors counts beside a search by words."""
        ...

    @property
    def batch_size(self) -> int:
        """The most texts of one call of :meth:`documents`."""
        ...

    async def load(self) -> None:
        """Load its weights, if it has any here. Otherwise the first call does.

        :raises EmbedderFailed: it cannot be used.
        """
        ...

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text, one byte a dimension.

        :raises EmbedderFailed: there are none.
        """
        ...

    async def query(self, text: str) -> bytes:
        """The vector of a text that is searched for.

        :raises EmbedderFailed: there is none.
        """
        ...


def is_available(knowledge: Knowledge) -> bool:
    """Whether vectors of this knowledge base can be made and searched here. Otherwise it is searched by words alone."""
    return extra.is_installed() and (knowledge.embedder != BUILTIN_EMBEDDER or extra.weights_folder() is not None)


def embedder_of(knowledge: Knowledge, settings: Settings) -> Embedder:
    """The embedder that a knowledge base declares. It opens its connections at the first call.

    :raises ExtraMissing: the extra ``knowledge`` is not installed.
    :raises UnknownEmbedder: the declared name is unknown.
    :raises EmbedderFailed: its package or key are missing.
    """
    if not is_available(knowledge):
        raise ExtraMissing(f"The embedder of {knowledge.label}")
    if knowledge.embedder == BUILTIN_EMBEDDER:
        from musterd.knowledge.static_embedder import StaticEmbedder

        return StaticEmbedder()
    if knowledge.embedder == MINILM_EMBEDDER:
        return _minilm()
    from musterd.knowledge.provider_embedder import ProviderEmbedder
    from musterd.models.resolve import UnknownModel, resolve_embeddings

    if not isinstance(knowledge.embedder, str):
        return ProviderEmbedder(knowledge.embedder, settings)
    from pydantic_ai.embeddings import Embedder as PydanticEmbedder

    try:
        return ProviderEmbedder(PydanticEmbedder(resolve_embeddings(knowledge.embedder, settings)), settings)
    except UnknownModel as error:
        raise UnknownEmbedder(error.message) from error
    except DeclarationError as error:
        raise EmbedderFailed(error.message) from error


def check_embedder_name(knowledge: Knowledge, settings: Settings) -> None:
    """Check that the embedder that a knowledge base declares can exist.

    If only its package or key are missing here, the knowledge base is searched by words until they are there.

    :raises DeclarationError: no machine has an embedder of this name.
    """
    has_name = isinstance(knowledge.embedder, str) and knowledge.embedder not in (BUILTIN_EMBEDDER, MINILM_EMBEDDER)
    if knowledge.search_type == "keyword" or not has_name:
        return
    try:
        embedder_of(knowledge, settings)
    except UnknownEmbedder as error:
        raise DeclarationError(f"{knowledge.declared_at}: {knowledge.label}: {error}") from error
    except KnowledgeProblem:
        return


def _minilm() -> Embedder:
    from musterd.knowledge.minilm_embedder import MiniLMEmbedder

    if not extra.has_minilm():
        raise EmbedderFailed(
            f'Embedder "{MINILM_EMBEDDER}": its packages are missing, install them with pip install "musterd[minilm]".'
        )
    return MiniLMEmbedder()
