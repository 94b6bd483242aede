"""Query values of lists and polls."""

import pytest

from musterd.core.errors import InvalidInput
from musterd.core.states import PENDING
from musterd.wire.query import (
    RunsQuery,
    parse_runs_query,
    parse_session_id,
    parse_wait,
)


@pytest.mark.parametrize("values", [{}, {"session_id": ""}])
def test_a_session_id_is_required(values: dict[str, str]) -> None:
    for parse in (parse_session_id, parse_runs_query):
        with pytest.raises(InvalidInput) as caught:
            parse(values)
        assert caught.value.errors == [
            {"type": "missing", "loc": ["query", "session_id"], "msg": "Field required", "input": None}
        ]


def test_a_list_of_runs() -> None:
    assert parse_runs_query({"session_id": "s"}) == RunsQuery(session_id="s")
    query = parse_runs_query({"session_id": "s", "status": "pending", "limit": "5", "before": "r1"})
    assert query == RunsQuery(session_id="s", states=PENDING, limit=5, before="r1")
    with pytest.raises(InvalidInput):
        parse_runs_query({"session_id": "s", "status": "NOPE"})


@pytest.mark.parametrize(("text", "seconds"), [(None, 0), ("", 0), ("0", 0), ("2.5", 2.5), ("100", 60), ("inf", 60)])
def test_wait(text: str | None, seconds: float) -> None:
    assert parse_wait({} if text is None else {"wait": text}, 60) == seconds


@pytest.mark.parametrize("text", ["x", "-1", "nan"])
def test_waits_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_wait({"wait": text}, 60)
