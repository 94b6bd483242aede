"""The failures of knowledge bases. The text of each is for clients: it never quotes a library or a content."""


class KnowledgeProblem(Exception):
    """A content cannot be added, or a knowledge base cannot be searched. The text says why and what to do."""


class Unreadable(KnowledgeProblem):
    """A content has no text that can be read."""


class TooManyChunks(KnowledgeProblem):
    """A content has more chunks than allowed."""


class EmbedderFailed(KnowledgeProblem):
    """The embedder gives no vectors.

    :param is_retryable: whether the same call may succeed later.
    """

    def __init__(self, message: str, *, is_retryable: bool = False) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


class UnknownEmbedder(EmbedderFailed):
    """No machine has an embedder of the declared name."""


class LengthsDiffer(KnowledgeProblem):
    """Vectors of one embedder differ in length: its model was changed under the same name."""

    def __init__(self, length: int, other: int) -> None:
        super().__init__(
            f"The embedder gives vectors of {other} numbers, and the stored ones have {length}: its model was changed "
            "under the same name. Declare it under another name, which embeds all contents again."
        )


class IndexMissing(KnowledgeProblem):
    """There are too many vectors to search them without an index, and there is none yet."""

    def __init__(self, length: int, max_length: int) -> None:
        super().__init__(
            "The vectors of the knowledge base are being indexed. Search again in some minutes."
            if length <= max_length
            else f"Vectors of {length} numbers cannot be indexed, but of {max_length} at most."
        )


class NoMemory(KnowledgeProblem):
    """The vectors of a knowledge base need more memory than this process may use for them."""

    def __init__(self) -> None:
        super().__init__(
            "The vectors of the knowledge base do not fit into MUSTERD_KNOWLEDGE_MEMORY_BYTES. Set it higher, or "
            "MUSTERD_KNOWLEDGE_PGVECTOR=true on Postgres."
        )


class ExtraMissing(KnowledgeProblem):
    """The packages of the extra ``knowledge`` are not installed."""

    def __init__(self, purpose: str) -> None:
        super().__init__(f'{purpose} needs packages that are not installed: pip install "musterd[knowledge]"')
