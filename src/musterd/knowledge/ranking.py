"""Joins the results of a search by words and of a search by vectors."""

from collections import defaultdict
from collections.abc import Sequence

RANK_OFFSET = 5
"""The constant of reciprocal rank fusion. With the usual 60, the first of a list counts hardly more than the fiftieth.
Then a result that only vectors of weight 0.5 find is never among the first ten (docs/internals/documents.md)."""


def fused(words: Sequence[int], vectors: Sequence[int], *, vector_weight: float) -> list[tuple[int, float]]:
    """The ids of both lists with their scores, the best first; ids with the same score in ascending order.

    A score is the weighted sum of ``1 / (5 + rank)``, divided by the best possible sum, so an id that is first in both
    lists has the score 1. An empty list does not count: it is a search that found nothing, or that was not made.

    :param words: ids from a search by words, the best first.
    :param vectors: ids from a search by vectors, the best first.
    :param vector_weight: how much the vectors count; words count 1.
    """
    scores: defaultdict[int, float] = defaultdict(float)
    best = 0.0
    for ids, weight in ((words, 1.0), (vectors, vector_weight)):
        if not ids or weight <= 0:
            continue
        best += weight / (RANK_OFFSET + 1)
        for rank, chunk_id in enumerate(ids, 1):
            scores[chunk_id] += weight / (RANK_OFFSET + rank)
    return sorted(
        ((chunk_id, score / best) for chunk_id, score in scores.items()), key=lambda item: (-item[1], item[0])
    )
