"""The words of a query, quoted for both databases."""

import pytest

from musterd.knowledge.word_queries import MAX_WORDS, word_query


@pytest.mark.parametrize(
    "text, query",
    [
        ("the capital of Norway?", '"capital" OR "norway"'),
        ("to be or not to be", '"to" OR "be" OR "or" OR "not"'),
        ('a "quoted" AND x*', '"quoted" OR "x"'),
        ("naïve 漢字 snake_case", '"naïve" OR "漢字" OR "snake_case"'),
        ("?! __ -", None),
        ("", None),
    ],
)
def test_a_query_has_the_words_that_tell_something(text: str, query: str | None) -> None:
    assert word_query(text) == query


def test_a_long_query_has_its_first_words() -> None:
    query = word_query(" ".join(f"word{number}" for number in range(100)))
    assert query is not None
    assert query.count(" OR ") == MAX_WORDS - 1
