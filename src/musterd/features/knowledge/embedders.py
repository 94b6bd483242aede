"""The embedders of knowledge bases, each made once when it is first used."""

from dataclasses import dataclass

from musterd.core.settings import Settings
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge.records import StoredBase
from musterd.knowledge import embedding
from musterd.knowledge.embedding import Embedder


@dataclass(frozen=True, slots=True)
class DeclaredEmbedder:
    """The embedder that a knowledge base declares. New contents are embedded with it.

    :param embedder: None: it is searched by words alone.
    :param spec: how it is declared, if that is text.
    """

    embedder: Embedder | None
    spec: str | None = None

    @property
    def name(self) -> str | None:
        """The name under which its embeddings are stored."""
        return None if self.embedder is None else self.embedder.name


class Embedders:
    """The embedders of a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._declared: dict[str, DeclaredEmbedder] = {}
        self._earlier: dict[str, Embedder | None] = {}

    def declared(self, knowledge: Knowledge) -> DeclaredEmbedder:
        """The embedder that a knowledge base declares.

        :raises EmbedderFailed: it cannot be used.
        """
        if (choice := self._declared.get(knowledge.id)) is None:
            choice = self._declared[knowledge.id] = self._choose(knowledge)
        return choice

    def answering(self, knowledge: Knowledge, base: StoredBase) -> Embedder | None:
        """The embedder with which the stored vectors are searched; None: there is none here.

        It is not the declared one while the knowledge base is embedded again. Only queries need it.

        :raises EmbedderFailed: it cannot be used.
        """
        declared = self.declared(knowledge)
        if declared.embedder is None or base.embedder is None:
            return None
        if declared.name == base.embedder:
            return declared.embedder
        if base.embedder_spec is None:
            return None
        if base.embedder not in self._earlier:
            earlier = self._choose(Knowledge(id=knowledge.id, embedder=base.embedder_spec)).embedder
            # Another version of a library may embed in another way, under another name.
            is_same = earlier is not None and earlier.name == base.embedder
            self._earlier[base.embedder] = earlier if is_same else None
        return self._earlier[base.embedder]

    def _choose(self, knowledge: Knowledge) -> DeclaredEmbedder:
        if knowledge.search_type == "keyword" or not embedding.is_available(knowledge):
            return DeclaredEmbedder(None)
        spec = knowledge.embedder if isinstance(knowledge.embedder, str) else None
        return DeclaredEmbedder(embedding.embedder_of(knowledge, self._settings), spec)
