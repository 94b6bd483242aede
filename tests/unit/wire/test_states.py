"""States on the wire: six words, filters in any case."""

import pytest

from musterd.core.errors import InvalidInput
from musterd.core.states import PENDING, RunState
from musterd.wire.states import STATUS, parse_status


def test_six_words() -> None:
    words = {"PENDING", "RUNNING", "PAUSED", "COMPLETED", "CANCELLED", "ERROR"}
    assert {STATUS[state] for state in RunState} == words


@pytest.mark.parametrize("text", ["PENDING", "pending", "Pending"])
def test_a_filter_takes_any_case(text: str) -> None:
    assert parse_status(text) == PENDING


def test_every_word_filters_what_it_names() -> None:
    for state in RunState:
        states = parse_status(STATUS[state])
        assert states
        assert state in states


@pytest.mark.parametrize("text", [None, ""])
def test_no_filter(text: str | None) -> None:
    assert parse_status(text) is None


@pytest.mark.parametrize("text", ["NOPE", "QUEUED", " running", "ß"])
def test_an_unknown_state_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_status(text)
    assert caught.value.errors[0]["loc"] == ["query", "status"]
    assert caught.value.errors[0]["input"] == text
