"""Which memories fit a message: by words and, if the extra ``knowledge`` is installed, by vectors, joined by rank."""

import math
from collections import Counter
from collections.abc import Sequence

import structlog

from musterd.core.threads import in_thread
from musterd.knowledge import extra
from musterd.knowledge.problems import KnowledgeProblem
from musterd.knowledge.ranking import fused
from musterd.knowledge.word_queries import significant_words

log = structlog.get_logger("musterd.memories")

_ENDINGS = ("ing", "ed", "es", "s", "e")
_SHORTEST_STEM = 3


async def best_matches(text: str, memories: Sequence[str], limit: int) -> list[int]:
    """The positions of the memories that fit ``text`` best, the best first; of equal ones the first.

    It takes some milliseconds for hundreds of memories, so it runs in a thread.
    """
    return await in_thread(_best_matches, text, memories, limit)


def _best_matches(text: str, memories: Sequence[str], limit: int) -> list[int]:
    from musterd.knowledge.static_embedder import StaticEmbedder

    words, vectors = by_words(text, memories)[:limit], _by_vectors(text, memories)[:limit]
    return [position for position, _ in fused(words, vectors, vector_weight=StaticEmbedder.vector_weight)[:limit]]


def by_words(text: str, memories: Sequence[str]) -> list[int]:
    """The positions of the memories that have words of ``text``. Rare words count more than frequent ones."""
    query = _stems(text)
    common = [_stems(memory) & query for memory in memories]
    holders = Counter(stem for stems in common for stem in stems)
    scores = [math.fsum(math.log(1 + len(memories) / holders[stem]) for stem in stems) for stems in common]
    matching = [position for position, stems in enumerate(common) if stems]
    return sorted(matching, key=lambda position: -scores[position])


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in significant_words(text)}


def _stem(word: str) -> str:
    """A word without an ending of English: ``museums`` is ``museum``, and ``lives`` and ``living`` are ``liv``."""
    ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
    return word.removesuffix(ending) if len(word) - len(ending) >= _SHORTEST_STEM else word


def _by_vectors(text: str, memories: Sequence[str]) -> list[int]:
    """The positions of the memories whose vectors are near that of ``text``; empty if there are no vectors here."""
    if not extra.is_installed() or extra.weights_folder() is None:
        return []
    import numpy as np

    from musterd.knowledge.static_embedder import mean_vectors

    try:
        vectors = mean_vectors([text, *memories])
    except KnowledgeProblem as error:
        log.warning("memories cannot be compared by vectors", reason=str(error))
        return []
    lengths = np.linalg.norm(vectors[1:], axis=1)
    nearness = (vectors[1:] @ vectors[0]) / np.where(lengths > 0, lengths, 1)
    return [int(position) for position in np.argsort(-nearness, kind="stable") if nearness[position] > 0]
