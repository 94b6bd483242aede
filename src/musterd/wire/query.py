"""Queries of the operations on sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.wire.cursor import parse_cursor
from musterd.wire.fields import Fields
from musterd.wire.pages import PAGE_LIMIT, PAGES_FROM_0
from musterd.wire.states import parse_statuses

SESSION_TYPES = ("agent", "team", "workflow")
SORTABLE = ("created_at", "updated_at", "session_name")
_WHOLE_LIMIT = 2**53
"""Beyond it no count or time is meant, and a database would refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsQuery:
    """What ``GET /sessions`` asks for.

    :param type: sessions of agents, of teams or (there are none) of workflows; None for all.
    :param page: from 1; the peer takes 0 as the first page too.
    :param sort_by: one of :data:`SORTABLE`; an unknown one is the first of them.
    """

    type: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    session_name: str | None = None
    limit: int = 20
    page: int = 1
    sort_by: str = "created_at"
    is_descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRunsQuery:
    """What ``GET /sessions/{id}/runs`` asks for; times are unix seconds."""

    type: str | None = None
    user_id: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    states: frozenset[RunState] | None = None
    limit: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEventsQuery:
    """What ``GET /sessions/{id}/events`` asks for.

    :param cursor: how far the reader has come; None: the runs that have not ended are read from their start.
    """

    cursor: Cursor | None = None
    stream_events: bool = True


def parse_sessions_query(values: Mapping[str, str]) -> SessionsQuery:
    """The query of ``GET /sessions``. Raises InvalidInput with everything that is wrong."""
    fields = Fields(values, "query")
    sort_by = fields.text("sort_by")
    query = SessionsQuery(
        type=fields.choice("type", SESSION_TYPES),
        component_id=fields.text("component_id"),
        user_id=fields.text("user_id"),
        session_name=fields.text("session_name"),
        limit=PAGES_FROM_0.limit(fields),
        page=PAGES_FROM_0.page(fields),
        sort_by=sort_by if sort_by in SORTABLE else "created_at",
        is_descending=fields.choice("sort_order", ("asc", "desc")) != "asc",
    )
    fields.problems.raise_if_any()
    return query


def parse_session_runs_query(values: Mapping[str, str], statuses: Sequence[str] = ()) -> SessionRunsQuery:
    """The query of ``GET /sessions/{id}/runs`` and of its previews.

    :param statuses: every ``status`` that is given.
    """
    states = parse_statuses(statuses)
    fields = Fields(values, "query")
    query = SessionRunsQuery(
        type=fields.choice("type", SESSION_TYPES),
        user_id=fields.text("user_id"),
        created_after=fields.whole("created_after", 0, _WHOLE_LIMIT),
        created_before=fields.whole("created_before", 0, _WHOLE_LIMIT),
        states=states,
        limit=fields.whole("limit", 1, PAGE_LIMIT),
        before=fields.text("before"),
    )
    fields.problems.raise_if_any()
    return query


def parse_session_events_query(values: Mapping[str, str], last_event_id: str | None = None) -> SessionEventsQuery:
    """The query of ``GET /sessions/{id}/events``.

    :param last_event_id: the header ``Last-Event-ID``, which wins over ``after``.
    """
    fields = Fields(values, "query")
    shows_all, after = fields.flag("stream_events"), fields.text("after")
    fields.problems.raise_if_any()
    cursor = None
    if last_event_id:
        cursor = parse_cursor(last_event_id, ("header", "Last-Event-ID"))
    elif after is not None:
        cursor = parse_cursor(after, ("query", "after"))
    return SessionEventsQuery(cursor=cursor, stream_events=shows_all is not False)


def parse_session_type(values: Mapping[str, str]) -> str | None:
    """The ``type`` of a session operation: agent, team, workflow, or None when it is absent."""
    fields = Fields(values, "query")
    kind = fields.choice("type", SESSION_TYPES)
    fields.problems.raise_if_any()
    return kind
