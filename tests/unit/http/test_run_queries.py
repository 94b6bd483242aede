"""Queries of the operations on runs."""

from typing import Any

import pytest
from starlette.requests import Request

from musterd.core.errors import InvalidInput
from musterd.core.states import PENDING
from musterd.http.parameters import Query
from musterd.http.run_operation import RunQuery
from musterd.http.runs import ComponentRunsQuery, PollQuery


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize("query", ["", "session_id="])
@pytest.mark.parametrize("kind", [RunQuery, ComponentRunsQuery, PollQuery])
def test_a_session_id_is_required(kind: type[Query], query: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind.read(request(query))
    assert caught.value.errors == [
        {"type": "missing", "loc": ["query", "session_id"], "msg": "Field required", "input": None}
    ]


def test_a_list_of_runs() -> None:
    query = ComponentRunsQuery.read(request("session_id=s"))
    assert (query.session_id, query.status, query.limit, query.before) == ("s", None, None, None)
    component: Any = type("Component", (), {"kind": "team", "id": "demo-team"})
    conditions = ComponentRunsQuery.read(request("session_id=s&status=pending&limit=5&before=r1")).conditions(component)
    assert (conditions.states, conditions.limit, conditions.before) == (PENDING, 5, "r1")
    with pytest.raises(InvalidInput):
        ComponentRunsQuery.read(request("session_id=s&status=NOPE")).conditions(component)


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("0", 0), ("2.5", 2.5), ("100", 100), ("inf", float("inf"))])
def test_wait(text: str, seconds: float | None) -> None:
    assert PollQuery.read(request(f"session_id=s&wait={text}")).wait == seconds
    assert PollQuery.read(request("session_id=s")).wait is None


@pytest.mark.parametrize("text", ["x", "-1", "nan"])
def test_waits_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        PollQuery.read(request(f"session_id=s&wait={text}"))
    assert [error["loc"] for error in caught.value.errors] == [["query", "wait"]]
