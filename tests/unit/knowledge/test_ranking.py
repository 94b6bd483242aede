"""The order of results of two searches."""

from musterd.knowledge.ranking import fused


def test_what_is_first_in_both_lists_has_the_score_one() -> None:
    ((chunk_id, score), *_) = fused([7, 8], [7, 9], vector_weight=0.5)
    assert (chunk_id, score) == (7, 1.0)


def test_vectors_count_as_much_as_their_weight() -> None:
    assert [chunk_id for chunk_id, _ in fused([1, 2], [2, 1], vector_weight=0.5)] == [1, 2]
    assert [chunk_id for chunk_id, _ in fused([1, 2], [2, 1], vector_weight=2)] == [2, 1]
    assert [chunk_id for chunk_id, _ in fused([1], [2], vector_weight=0)] == [1]


def test_equal_scores_are_ordered_by_id() -> None:
    assert [chunk_id for chunk_id, _ in fused([5, 1], [1, 5], vector_weight=1)] == [1, 5]


def test_a_list_without_results_does_not_lower_the_scores() -> None:
    assert fused([3], [], vector_weight=0.5) == fused([], [3], vector_weight=0.5) == [(3, 1.0)]
    assert fused([], [], vector_weight=0.5) == []


def test_the_best_by_vectors_is_among_the_first_ten_though_words_find_many_others() -> None:
    first = [chunk_id for chunk_id, _ in fused(range(50), range(100, 150), vector_weight=0.5)][:10]
    assert first[0] == 0
    assert 100 in first
