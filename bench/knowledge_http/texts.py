"""Documents that both servers split into the same chunks, and what exact search over them finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from bench.docstrings import corpus
from bench.embeddings import vectors_of
from bench.knowledge_names import CHUNK_CHARACTERS

NEAREST = 10


@dataclass(frozen=True)
class Texts:
    """What is searched, and for what."""

    chunks: Sequence[str]
    queries: Sequence[str]

    def documents(self, first: int, last: int, each: int) -> list[str]:
        """The chunks from one number to another, so many in a document.

        One more character would not fit into a chunk, so every way of splitting at white space returns these chunks.
        """
        return ["\n".join(self.chunks[start : min(start + each, last)]) for start in range(first, last, each)]

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """The vector of each chunk."""
        return vectors_of(self.chunks)

    def nearest(self, size: int, queries: Sequence[str]) -> list[set[str]]:
        """For each query the nearest of the first chunks, by exact search over numbers of 32 bits."""
        scores = vectors_of(queries) @ self.vectors[:size].T
        best = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        return [{self.chunks[number] for number in row} for row in best.tolist()]


@cache
def texts(count: int, queries: int) -> Texts:
    """So many chunks, each of a text and of those after it until it is full, and queries from first lines."""
    documents, parts = corpus(count)
    chunks = []
    for number, text in enumerate(parts):
        following = number + 1
        while len(text) < CHUNK_CHARACTERS - 1:
            text += f" {parts[following % count]}"
            following += 1
        text = text[: CHUNK_CHARACTERS - 1].rstrip()
        chunks.append(text.ljust(CHUNK_CHARACTERS - 1, "."))
    lines = [document.query for document in documents if not set('[]<>"\\') & set(document.query)]
    return Texts(chunks, lines[:queries])
