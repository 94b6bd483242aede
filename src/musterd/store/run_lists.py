"""Lists of runs: all runs of a session, its unfinished runs, and runs across sessions.

Pages count root runs. Lists of one session include members' runs, once their root has paused or finished. Lists across
sessions contain root runs only.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core.callers import Caller
from musterd.core.records import RunRow, RunView
from musterd.core.scheduling import OnBusy
from musterd.core.states import FINAL, RunState
from musterd.store.database import Row, Statement, Tx
from musterd.store.list_conditions import equalities
from musterd.store.rows import qualified, run_row, run_view

NO_LIMIT = 2**53
_WITHOUT_MESSAGES = f"{qualified('r')}, io.input, io.output, NULL AS messages"
_WITH_MESSAGES = f"{qualified('r')}, io.input, io.output, io.messages"
_LIVE = "state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"
LIVE = Statement(
    "runs_live",
    f"""SELECT {_WITHOUT_MESSAGES}, r.expires_at FROM runs r JOIN run_io io ON io.run_id = r.run_id
        WHERE r.session_id = :session_id AND r.parent_id IS NULL AND r.{_LIVE} ORDER BY r.seq""",
)

Component = tuple[str, str]
"""A component by its kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRunsQuery:
    """Which runs of a session to list. None: no such condition.

    :param component: the component of the root runs.
    :param states: the states of the listed runs, roots and members.
    :param created_after: unix seconds, inclusive, like ``created_before``.
    :param before: the root run that follows the page; nothing precedes an unknown run.
    :param limit: how many root runs with at least one listed run the page contains; the last ones are taken.
    :param has_messages: whether conversations are read.
    :param has_members_at_work: whether a member's run is listed before its root run has paused or finished.
    """

    session_id: str
    component: Component | None = None
    states: Collection[RunState] | None = None
    created_after: float | None = None
    created_before: float | None = None
    before: str | None = None
    limit: int | None = None
    has_messages: bool = True
    has_members_at_work: bool = False


def of_session_statement(query: SessionRunsQuery) -> tuple[Statement, dict[str, Any]]:
    """The statement that lists runs of a session, trees in the order of the queue, and its parameters."""
    params: dict[str, Any] = {"session_id": query.session_id, "limit": query.limit or NO_LIMIT}
    roots, listed = [], []
    if query.component is not None:
        roots.append("component_kind = :kind AND component_id = :component_id")
        params["kind"], params["component_id"] = query.component
    if query.before is not None:
        roots.append(
            """seq < (SELECT seq FROM runs WHERE run_id = :before AND session_id = :session_id AND parent_id IS NULL)"""
        )
        params["before"] = query.before
    if query.states is not None:
        listed.append("IN_LIST(r.state, :states)")
        params["states"] = _names(query.states)
    for name, comparison in (("created_after", ">="), ("created_before", "<=")):
        if (at := getattr(query, name)) is not None:
            listed.append(f"r.created_at {comparison} :{name}")
            params[name] = at
    if listed:  # the page counts only trees with at least one listed run
        matches = " AND ".join((*listed, _is_listed("runs", query)))
        roots.append(f"EXISTS (SELECT 1 FROM runs r WHERE r.root_id = runs.run_id AND {matches})")
    columns = _WITH_MESSAGES if query.has_messages else _WITHOUT_MESSAGES
    where = " AND ".join((*listed, _is_listed("roots", query)))
    text = f"""WITH roots AS (SELECT run_id, seq, state FROM runs WHERE session_id = :session_id AND parent_id IS NULL
                              {"".join(f" AND {condition}" for condition in roots)} ORDER BY seq DESC LIMIT :limit)
               SELECT {columns} FROM roots JOIN runs r ON r.root_id = roots.run_id
               JOIN run_io io ON io.run_id = r.run_id
               WHERE {where} ORDER BY roots.seq, r.created_at, r.path"""
    name = f"runs_of_session {sorted(params)} {query.has_messages} {query.has_members_at_work}"
    return Statement(name, text), params


def _is_listed(root: str, query: SessionRunsQuery) -> str:
    """The condition that run ``r`` is listed: most lists leave out members' runs while their root is running.

    Chat pages load a session during its first run, and would show each member's run as a message of the user.

    :param root: the table or alias with the row of ``r``'s root.
    """
    if query.has_members_at_work:
        return "1 = 1"
    return f"(r.parent_id IS NULL OR {root}.state NOT IN ('scheduled', 'queued', 'ready', 'running'))"


async def of_session(tx: Tx, query: SessionRunsQuery) -> list[RunView]:
    """Runs of a session that the caller may see, trees in the order of the queue."""
    return [run_view(row) for row in await tx.all(*of_session_statement(query))]


def _names(states: Collection[RunState]) -> str:
    return json.dumps(sorted(state.value for state in states))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    """Which root runs to list across sessions, newest first. None: no such condition.

    :param after: the acceptance time and the id of the last run of the previous page.
    """

    states: Collection[RunState] | None = None
    component: Component | None = None
    user_id: str | None = None
    session_id: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    after: tuple[float, str] | None = None
    limit: int = 20


_RANGES = {
    "created_after": "r.created_at >= :created_after",
    "created_before": "r.created_at <= :created_before",
    "after_at": "(r.created_at, r.run_id) < (:after_at, :after_id)",
}


def page_statement(
    query: RunsQuery, caller: Caller, states: Collection[RunState] | None
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page of runs, in no order, and its parameters.

    :param states: a single final state, or any unfinished states: each of these has an index, and other combinations
        would not use one. None: all states.
    """
    after_at, after_id = query.after or (None, None)
    latest = query.created_before
    if after_at is not None and latest is not None and after_at <= latest:
        latest = None  # the cursor is the stricter bound; given two upper bounds SQLite may use the looser one
    kind, component_id = query.component or (None, None)
    values = {
        "component_kind": kind,
        "component_id": component_id,
        "user_id": query.user_id,
        "owner": caller.sees_only,
        "session_id": query.session_id,
        "created_after": query.created_after,
        "created_before": latest,
        "after_at": after_at,
    }
    params: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    where = _page_conditions(params)
    if after_id is not None:
        params["after_id"] = after_id
    if states is not None and FINAL.issuperset(states):
        where += [f"r.state = '{state.value}'" for state in states]
    elif states is not None:
        where.append(f"r.{_LIVE} AND IN_LIST(r.state, :states)")
        params["states"] = _names(states)
    # The index of a session is not in the order of the page. The "+" keeps SQLite from using another one for the order.
    order = "r.created_at" if query.session_id is None else "+r.created_at"
    conditions = "".join(f" AND {condition}" for condition in where)
    text = f"""WITH page AS (
                 SELECT r.run_id FROM runs r WHERE r.parent_id IS NULL {conditions}
                 AND NOT EXISTS (SELECT 1 FROM sessions s
                                 WHERE s.session_id = r.session_id AND s.deleted_at IS NOT NULL)
                 ORDER BY {order} DESC, r.run_id DESC LIMIT :limit)
               SELECT {_WITHOUT_MESSAGES} FROM page JOIN runs r ON r.run_id = page.run_id
               JOIN run_io io ON io.run_id = r.run_id"""
    return Statement(f"runs_page {where} {order}", text), {**params, "limit": query.limit}


def _page_conditions(params: Mapping[str, Any]) -> list[str]:
    """The conditions of a page. One column uses its index: the session's, which has the fewest runs, or the user's."""
    lookup = next((name for name in ("session_id", "user_id", "owner") if name in params), None)
    by_index = ("r.component_kind", "r.component_id") if lookup is None else (f"r.{lookup}",)
    names = ("session_id", "user_id", "owner", "component_kind", "component_id")
    conditions = equalities((f"r.{name}" for name in names if name in params), by_index)
    return conditions + [_RANGES[name] for name in _RANGES if name in params]


async def page(tx: Tx, query: RunsQuery, caller: Caller) -> list[RunView]:
    """One page of root runs of all sessions, newest first, without their conversations."""
    groups: list[Collection[RunState] | None] = [None]
    if query.states is not None:
        unfinished = [state for state in query.states if not state.is_final]
        groups = [[state] for state in query.states if state.is_final]
        groups += [unfinished] if unfinished else []
    rows: list[Row] = []
    for states in groups:
        rows += await tx.all(*page_statement(query, caller, states))
    rows.sort(key=lambda row: (row["created_at"], row["run_id"]), reverse=True)
    return [run_view(row) for row in rows[: query.limit]]


async def live(tx: Tx, session_id: str) -> list[tuple[RunView, float | None]]:
    """The unfinished root runs of a session in the order of the queue, each with its expiry if it is paused."""
    rows = await tx.all(LIVE, {"session_id": session_id})
    position_of = positions([run_row(row) for row in rows])
    views = []
    for row in rows:
        view = run_view(row)
        view.queue_position = position_of.get(view.row.run_id)
        views.append((view, row["expires_at"] if view.row.state is RunState.PAUSED else None))
    return views


def positions(live_runs: Sequence[RunRow]) -> dict[str, int]:
    """How many runs are ahead of each pending run, computed as in :func:`musterd.store.runs.queue_position`.

    :param live_runs: all unfinished root runs of a session, by ``seq``.
    """
    position_of = {run.run_id: 0 for run in live_runs if run.state is RunState.READY}
    heads = sum(run.holder is not None for run in live_runs)
    queued = [run for run in live_runs if run.state is RunState.QUEUED]
    interrupters = [run for run in queued if run.on_busy is OnBusy.INTERRUPT]
    others = [run for run in queued if run.on_busy is not OnBusy.INTERRUPT]
    position_of.update((run.run_id, heads + place) for place, run in enumerate([*interrupters, *others]))
    for run in live_runs:
        if run.state is RunState.SCHEDULED:
            ahead = interrupters if run.on_busy is OnBusy.INTERRUPT else queued
            position_of[run.run_id] = heads + len(ahead)
    return position_of
