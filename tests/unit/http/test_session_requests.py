"""Requests of operations on sessions: queries and bodies."""

from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request

from musterd.core.errors import BadRequest, InvalidInput
from musterd.core.states import RunState
from musterd.http.parameters import Query
from musterd.http.session_stream import LastEventId
from musterd.http.sessions import (
    CreateSessionRequest,
    DeleteSessionRequest,
    SessionQuery,
    SessionRunListQuery,
    SessionsQuery,
    UpdateSessionRequest,
)
from musterd.service.sessions import NewSession
from musterd.store.run_lists import SessionRunsQuery
from musterd.store.session_search import SessionFilter
from musterd.store.sessions import SessionChanges


def request(query: str = "", headers: dict[str, str] | None = None) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "query_string": query.encode(), "headers": raw})


def read(kind: type[Query], **values: str) -> Any:
    return kind.read(request(urlencode(values)))


def test_defaults_of_a_list_of_sessions() -> None:
    assert read(SessionsQuery).filter == SessionFilter()


def test_a_list_of_sessions() -> None:
    values = {
        "type": "team",
        "component_id": "demo-team",
        "user_id": "u1",
        "session_name": "hello",
        "limit": "2",
        "page": "3",
        "sort_by": "updated_at",
        "sort_order": "asc",
        "table": "zz",
    }
    assert read(SessionsQuery, **values).filter == SessionFilter(
        component_kind="team",
        component_id="demo-team",
        user_id="u1",
        name="hello",
        limit=2,
        page=3,
        sort_by="updated_at",
        descending=False,
    )


def test_page_0_is_the_first_and_an_unknown_sort_is_the_default() -> None:
    assert read(SessionsQuery, page="0", sort_by="nope", limit="", type="").filter == SessionFilter()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("limit", "-1", "greater_than_equal"),
        ("limit", "0", "greater_than_equal"),
        ("limit", "9999999999", "less_than_equal"),
        ("limit", "x", "int_parsing"),
        ("limit", "9" * 5000, "int_parsing_size"),
        ("page", "-1", "greater_than_equal"),
        ("page", "99999999999999999", "less_than_equal"),
        ("type", "zzz", "enum"),
        ("sort_order", "up", "enum"),
        ("user_id", "a\x00", "string_unicode"),
    ],
)
def test_rejected_queries(name: str, value: str, kind: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(SessionsQuery, **{name: value})
    (error,) = caught.value.errors
    assert (error["type"], error["loc"]) == (kind, ["query", name])


def test_the_message_for_an_unknown_type() -> None:
    with pytest.raises(InvalidInput) as caught:
        read(SessionQuery, type="zzz")
    assert caught.value.errors[0]["msg"] == "Input should be 'agent', 'team' or 'workflow'"
    assert read(SessionQuery, type="team").type == "team"
    assert read(SessionQuery).type is None


def test_a_sessions_runs() -> None:
    assert read(SessionRunListQuery).filter("s1", is_preview=False) == SessionRunsQuery(session_id="s1")
    text = "type=team&created_after=1795597910&created_before=9&status=&status=paused"
    query = SessionRunListQuery.read(request(text))
    assert query.filter("s1", is_preview=True) == SessionRunsQuery(
        session_id="s1",
        created_after=1795597910,
        created_before=9,
        states={RunState.PAUSED},
        has_messages=False,
        has_members_at_work=True,
    )


def test_a_header_is_read_in_any_case() -> None:
    for name in ("Last-Event-ID", "last-event-id"):
        assert LastEventId.read(request(headers={name: "e1"})).last_event_id == "e1"
    assert LastEventId.read(request(headers={"last-event-id": ""})).last_event_id is None
    assert LastEventId.read(request()).last_event_id is None


def test_a_session_is_an_agents_unless_a_team_is_given() -> None:
    none_given = CreateSessionRequest.model_validate({})
    assert none_given.new_session(None) == NewSession(session_id=None, component_kind="agent", component_id="")
    team_given = CreateSessionRequest.model_validate({"team_id": "t"})
    assert team_given.new_session(None) == NewSession(session_id=None, component_kind="team", component_id="t")


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"summary": "x"}, {"summary": "x", "topics": [], "as_of": 100.0, "run_id": ""}),
        ('{"summary": "x", "topics": ["a"]}', {"summary": "x", "topics": ["a"], "as_of": 100.0, "run_id": ""}),
        (
            {"summary": "", "updated_at": "1970-01-01T00:00:07"},
            {"summary": "", "topics": [], "as_of": 7.0, "run_id": ""},
        ),
        (
            {"summary": "x", "updated_at": "2199-01-01T00:00:00Z"},
            {"summary": "x", "topics": [], "as_of": 100.0, "run_id": ""},
        ),
    ],
)
def test_a_summary_is_of_now_at_the_latest(summary: Any, expected: dict[str, Any]) -> None:
    update = UpdateSessionRequest.model_validate({"summary": summary})
    assert update.changes(now=100.0) == SessionChanges(summary=expected)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "List should have at least 1 item after validation, not 0"),
        (["x"] * 1001, "List should have at most 1000 items after validation, not 1001"),
        ([1], "Input should be a list of texts"),
    ],
)
def test_lists_of_ids_that_are_rejected(ids: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeleteSessionRequest.model_validate({"session_ids": ids, "session_types": ["team"]})


def test_each_id_has_a_type() -> None:
    body = DeleteSessionRequest(session_ids=["a", "b"], session_types=["team"])
    with pytest.raises(BadRequest):
        _ = body.ids
