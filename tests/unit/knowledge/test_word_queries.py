"""The words of a query, quoted for both databases."""

import pytest

from musterd.knowledge.word_queries import MAX_WORDS, anchors, either, words_of


@pytest.mark.parametrize(
    "text, query",
    [
        ("the capital of Norway?", '"capital" OR "norway"'),
        ("to be or not to be", '"to" OR "be" OR "or" OR "not"'),
        ('a "quoted" AND x*', '"quoted" OR "x"'),
        ("naïve 漢字 snake_case", '"naïve" OR "漢字" OR "snake_case"'),
        ("?! __ -", ""),
        ("", ""),
    ],
)
def test_a_query_has_the_words_that_tell_something(text: str, query: str | None) -> None:
    assert either(words_of(text)) == query


def test_a_long_query_has_its_first_words() -> None:
    words = words_of(" ".join(f"word{number}" for number in range(100)))
    assert words == [f"word{number}" for number in range(MAX_WORDS)]


@pytest.mark.parametrize(
    "counts, expected",
    [
        ([1, 2, 3], ["a", "b", "c"]),
        ([900, 2, 8], ["b", "c"]),
        ([900, 800, 800], ["b"]),
        ([0, 11, 10], ["a", "c"]),
    ],
)
def test_the_rarest_words_are_chosen(counts: list[int], expected: list[str]) -> None:
    assert sorted(anchors(["a", "b", "c"], counts, 10)) == expected
