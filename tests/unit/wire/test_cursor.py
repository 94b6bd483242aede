"""Cursors of sessions: opaque words that scanners and lines survive, and that come back as they went."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musterd.core.errors import InvalidInput
from musterd.core.jsontext import is_storable
from musterd.core.session_cursors import Cursor
from musterd.wire.cursors import CURSOR_CHARACTERS, CursorTexts, parse_cursor
from tests.support.cpu_time import cpu_at_most

WHERE = ("query", "after")
IDS = st.text(min_size=1, max_size=255).filter(is_storable)


@given(
    seq=st.integers(-1, 2**53),
    runs=st.dictionaries(IDS, st.integers(-1, 2**53), max_size=5),
    life=st.floats(0, 2**53),
    run_id=IDS,
    indexes=st.lists(st.integers(-1, 2**53), max_size=3),
)
def test_a_cursor_comes_back_as_it_went(
    seq: int, runs: dict[str, int], life: float, run_id: str, indexes: list[int]
) -> None:
    runs.pop(run_id, None)
    texts = CursorTexts(Cursor(seq, runs, life), run_id)
    for index in indexes:
        text = texts.text(index)
        assert re.fullmatch(r"[\w-]+", text, re.ASCII)
        assert parse_cursor(text, WHERE) == Cursor(seq, {**runs, run_id: index}, life)


def test_the_events_of_a_flush_share_the_part_of_the_other_runs() -> None:
    texts = CursorTexts(Cursor(10_000, {f"run-{number}": number for number in range(5_000)}, 1.0), "run")
    with cpu_at_most(0.1):  # it was half a second
        for index in range(128):
            texts.text(index)


@given(text=st.text(max_size=60))
def test_what_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cursor(f"{text}!", WHERE)
    assert caught.value.errors[0]["loc"] == ["query", "after"]


def test_a_cursor_has_a_longest_length() -> None:
    with pytest.raises(InvalidInput):
        parse_cursor("A" * (CURSOR_CHARACTERS + 1), WHERE)
