"""Which memories fit a message."""

import pytest

from musterd.knowledge import extra
from musterd.loop.memory_ranking import best_matches, by_words

MEMORIES = ["Likes tea", "Lives in Oslo", "Has a sister in Oslo", "Likes small museums", "Drives a Volvo"]


@pytest.mark.parametrize(
    "text, positions",
    [
        ("Which MUSEUM is near?", [3]),
        ("I live in Oslo", [1, 2]),
        ("what do I like?", [0, 3]),
        ("My sister likes that", [2, 0, 3]),
        ("hello", []),
        ("?!", []),
        ("", []),
    ],
)
def test_memories_with_rare_words_of_the_message_come_first(text: str, positions: list[int]) -> None:
    assert by_words(text, MEMORIES) == positions


async def test_memories_that_share_no_word_are_found_by_vectors() -> None:
    assert by_words("Which car tyres do I need?", MEMORIES) == []
    assert (await best_matches("Which car tyres do I need?", MEMORIES, 1)) == [4]


async def test_without_the_extra_words_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    assert await best_matches("Which car tyres do I need?", MEMORIES, 1) == []
    assert await best_matches("A museum?", MEMORIES, 5) == [3]
