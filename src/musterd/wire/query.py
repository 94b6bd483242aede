"""Query values of the operations that list and poll: typed, bounded, and refused in words."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.errors import InvalidInput
from musterd.core.records import ComponentKind, RunRow
from musterd.core.states import RunState
from musterd.wire.fields import Fields
from musterd.wire.pages import PAGE_LIMIT, PAGES, Pages
from musterd.wire.problems import MISSING
from musterd.wire.states import parse_status, parse_statuses

EVENT_PAGES = Pages(default=PAGE_LIMIT)
_WHOLE_LIMIT = 2**53
"""Beyond it no count or time is meant, and a database would refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    """What a list of runs asks for.

    :param states: only runs in these states; None for all.
    :param before: only runs accepted before this one.
    """

    session_id: str
    states: frozenset[RunState] | None = None
    limit: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPageQuery:
    """What ``GET /runs`` asks for; times are unix seconds.

    :param after: acceptance and id of the last run of the page before.
    """

    states: frozenset[RunState] | None = None
    kind: ComponentKind | None = None
    component_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    after: tuple[float, str] | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsQuery:
    """What ``GET …/runs/{run_id}/events`` asks for.

    :param after: only events behind this index; -1: all.
    :param stream_events: whether all events are shown, or only text, events of members, and the end.
    """

    session_id: str
    after: int = -1
    limit: int = PAGE_LIMIT
    stream_events: bool = True


def parse_runs_query(values: Mapping[str, str]) -> RunsQuery:
    """The query of ``GET /teams/{id}/runs`` and ``GET /agents/{id}/runs``."""
    session_id = parse_session_id(values)
    states = parse_status(values.get("status"))
    fields = Fields(values, "query")
    limit, before = fields.whole("limit", 1, PAGE_LIMIT), fields.text("before")
    fields.problems.raise_if_any()
    return RunsQuery(session_id=session_id, states=states, limit=limit, before=before)


def parse_run_page_query(values: Mapping[str, str], statuses: Sequence[str] = ()) -> RunPageQuery:
    """The query of ``GET /runs``.

    :param statuses: every ``status`` that is given.
    """
    states = parse_statuses(statuses)
    fields = Fields(values, "query")
    team_id, agent_id = fields.text("team_id"), fields.text("agent_id")
    if team_id is not None and agent_id is not None:
        fields.problems.add("agent_id", "value_error", "A run is of a team or of an agent: give one of the two")
    query = RunPageQuery(
        states=states,
        kind="team" if team_id is not None else "agent" if agent_id is not None else None,
        component_id=team_id or agent_id,
        user_id=fields.text("user_id"),
        session_id=fields.text("session_id"),
        created_after=fields.whole("created_after", 0, _WHOLE_LIMIT),
        created_before=fields.whole("created_before", 0, _WHOLE_LIMIT),
        after=_cursor(fields),
        limit=PAGES.limit(fields),
    )
    fields.problems.raise_if_any()
    return query


def cursor_of(row: RunRow) -> str:
    """What leads from the page that ends with this run to the next one."""
    return base64.urlsafe_b64encode(jsontext.dumps([row.created_at, row.run_id]).encode()).decode().rstrip("=")


def _cursor(fields: Fields) -> tuple[float, str] | None:
    """Where the page before ended, as :func:`cursor_of` wrote it."""
    text = fields.text("cursor")
    if text is None:
        return None
    try:
        at, run_id = jsontext.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(at, float) and isinstance(run_id, str) and jsontext.is_storable(run_id):
            return at, run_id
    except (ValueError, TypeError, RecursionError):
        pass
    fields.problems.add("cursor", "value_error", "Input should be the next_cursor of an earlier page", text)
    return None


def parse_events_query(values: Mapping[str, str], last_event_id: str | None = None) -> EventsQuery:
    """The query of ``GET …/runs/{run_id}/events``.

    :param last_event_id: the header ``Last-Event-ID``, which wins over ``after``.
    """
    session_id = parse_session_id(values)
    fields = Fields(values, "query")
    after, limit = fields.whole("after", -1, _WHOLE_LIMIT), EVENT_PAGES.limit(fields)
    shows_all = fields.flag("stream_events")
    fields.problems.raise_if_any()
    if last_event_id:
        header = Fields({"Last-Event-ID": last_event_id}, "header")
        after = header.whole("Last-Event-ID", -1, _WHOLE_LIMIT)
        header.problems.raise_if_any()
    return EventsQuery(
        session_id=session_id,
        after=-1 if after is None else after,
        limit=limit,
        stream_events=shows_all is not False,
    )


def parse_session_id(values: Mapping[str, str]) -> str:
    """The required ``session_id``; missing or empty is 422 (the peer answers 500 to an empty one)."""
    fields = Fields(values, "query")
    if fields.given("session_id") is None:
        fields.problems.add("session_id", *MISSING)
    session_id = fields.text("session_id")
    fields.problems.raise_if_any()
    return session_id or ""


def parse_user_id(values: Mapping[str, str]) -> str | None:
    """The ``user_id`` of an operation that keeps it; None when it is absent or empty."""
    fields = Fields(values, "query")
    user_id = fields.identifier("user_id")
    fields.problems.raise_if_any()
    return user_id


def parse_wait(values: Mapping[str, str], most_seconds: float) -> float:
    """The seconds of ``wait``: 0 when absent, at most ``most_seconds``.

    :raises InvalidInput: when it is no number or negative.
    """
    text = values.get("wait")
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise InvalidInput.at(("query", "wait"), "float_parsing", "Input should be a number of seconds", None)
    return min(seconds, most_seconds)
