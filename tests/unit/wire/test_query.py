"""Queries of the operations on sessions."""

import pytest

from musterd.core.errors import InvalidInput
from musterd.wire.query import (
    SessionRunsQuery,
    SessionsQuery,
    parse_session_runs_query,
    parse_session_type,
    parse_sessions_query,
)


def test_defaults_of_a_list_of_sessions() -> None:
    query = parse_sessions_query({})
    assert query == SessionsQuery()
    assert (query.type, query.limit, query.page, query.is_descending) == (None, 20, 1, True)


def test_a_list_of_sessions() -> None:
    query = parse_sessions_query(
        {
            "type": "team",
            "component_id": "demo-team",
            "user_id": "u1",
            "session_name": "hello",
            "limit": "2",
            "page": "3",
            "sort_by": "updated_at",
            "sort_order": "asc",
            "db_id": "zz",
        }
    )
    assert query == SessionsQuery(
        type="team",
        component_id="demo-team",
        user_id="u1",
        session_name="hello",
        limit=2,
        page=3,
        sort_by="updated_at",
        is_descending=False,
    )


def test_page_0_is_the_first_and_an_unknown_sort_is_the_default() -> None:
    query = parse_sessions_query({"page": "0", "sort_by": "nope", "limit": "", "type": ""})
    assert query == SessionsQuery()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("limit", "-1", "greater_than_equal"),
        ("limit", "0", "greater_than_equal"),
        ("limit", "9999999999", "less_than_equal"),
        ("limit", "x", "int_parsing"),
        ("limit", "9" * 5000, "int_parsing"),
        ("page", "-1", "greater_than_equal"),
        ("page", "99999999999999999", "less_than_equal"),
        ("type", "zzz", "enum"),
        ("sort_order", "up", "enum"),
        ("user_id", "a\x00", "string_unicode"),
    ],
)
def test_what_is_refused(name: str, value: str, kind: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_sessions_query({name: value})
    (error,) = caught.value.errors
    assert (error["type"], error["loc"]) == (kind, ["query", name])


def test_the_words_of_a_bad_type() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_session_type({"type": "zzz"})
    assert caught.value.errors[0]["msg"] == "Input should be 'agent', 'team' or 'workflow'"
    assert parse_session_type({"type": "team"}) == "team"
    assert parse_session_type({}) is None


def test_a_sessions_runs() -> None:
    assert parse_session_runs_query({}) == SessionRunsQuery()
    query = parse_session_runs_query({"type": "team", "created_after": "1795597910", "created_before": "9"})
    assert query == SessionRunsQuery(type="team", created_after=1795597910, created_before=9)
