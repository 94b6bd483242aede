"""Lists of runs: those of a session, those that live in it, those of everybody. All of them end with the page.

A page is of root runs. Lists of a session hold the runs of members too, once their root has paused or ended. Lists
across sessions hold roots only.
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

    :param component: whose the roots are.
    :param states: in which a run is, a root or a member: one that is not is left out.
    :param created_after: unix seconds, as ``created_before``; both count in.
    :param before: the root run that stands behind the page; one that is unknown has nothing before it.
    :param limit: the last so many root runs that have anything to list.
    :param has_messages: whether conversations are read.
    :param has_members_at_work: whether a member's run is listed before its root run has paused or ended.
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


def of_session_statement(wanted: SessionRunsQuery) -> tuple[Statement, dict[str, Any]]:
    """The statement that lists runs of a session, trees in the order of the line, and its parameters."""
    params: dict[str, Any] = {"session_id": wanted.session_id, "limit": wanted.limit or NO_LIMIT}
    roots, listed = [], []
    if wanted.component is not None:
        roots.append("component_kind = :kind AND component_id = :component_id")
        params["kind"], params["component_id"] = wanted.component
    if wanted.before is not None:
        roots.append(
            """seq < (SELECT seq FROM runs WHERE run_id = :before AND session_id = :session_id AND parent_id IS NULL)"""
        )
        params["before"] = wanted.before
    if wanted.states is not None:
        listed.append("IN_LIST(r.state, :states)")
        params["states"] = _names(wanted.states)
    for name, comparison in (("created_after", ">="), ("created_before", "<=")):
        if (at := getattr(wanted, name)) is not None:
            listed.append(f"r.created_at {comparison} :{name}")
            params[name] = at
    if listed:  # the page counts only trees with a row to list
        matches = " AND ".join((*listed, _is_shown("runs", wanted)))
        roots.append(f"EXISTS (SELECT 1 FROM runs r WHERE r.root_id = runs.run_id AND {matches})")
    columns = _WITH_MESSAGES if wanted.has_messages else _WITHOUT_MESSAGES
    where = " AND ".join((*listed, _is_shown("roots", wanted)))
    text = f"""WITH roots AS (SELECT run_id, seq, state FROM runs WHERE session_id = :session_id AND parent_id IS NULL
                              {"".join(f" AND {one}" for one in roots)} ORDER BY seq DESC LIMIT :limit)
               SELECT {columns} FROM roots JOIN runs r ON r.root_id = roots.run_id
               JOIN run_io io ON io.run_id = r.run_id
               WHERE {where} ORDER BY roots.seq, r.created_at, r.path"""
    name = f"runs_of_session {sorted(params)} {wanted.has_messages} {wanted.has_members_at_work}"
    return Statement(name, text), params


def _is_shown(root: str, wanted: SessionRunsQuery) -> str:
    """The condition that run ``r`` is listed: in most lists a member's is not while its root is at work.

    Chat pages load a session during its first run and show each row as something that the user said.

    :param root: the table or alias that holds the row of ``r``'s root.
    """
    if wanted.has_members_at_work:
        return "1 = 1"
    return f"(r.parent_id IS NULL OR {root}.state NOT IN ('scheduled', 'queued', 'ready', 'running'))"


async def of_session(tx: Tx, wanted: SessionRunsQuery) -> list[RunView]:
    """Runs of a session that the caller may see, trees in the order of the line."""
    return [run_view(row) for row in await tx.all(*of_session_statement(wanted))]


def _names(states: Collection[RunState]) -> str:
    return json.dumps(sorted(state.value for state in states))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    """Which root runs to list over all sessions, newest first. None: no such condition.

    :param after: acceptance and id of the last run of the page before this one.
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
    wanted: RunsQuery, caller: Caller, states: Collection[RunState] | None
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page of runs, in no order, and its parameters.

    :param states: one in which runs have ended, or any in which they have not: each of these has an index, which no
        other list of states would go by. None: all.
    """
    after_at, after_id = wanted.after or (None, None)
    latest = wanted.created_before
    if after_at is not None and latest is not None and after_at <= latest:
        latest = None  # the page begins before it: of two upper bounds SQLite may look up the one that says less
    kind, component_id = wanted.component or (None, None)
    given = {
        "component_kind": kind,
        "component_id": component_id,
        "user_id": wanted.user_id,
        "owner": caller.sees_only,
        "session_id": wanted.session_id,
        "created_after": wanted.created_after,
        "created_before": latest,
        "after_at": after_at,
    }
    params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    where = _page_conditions(params)
    if after_id is not None:
        params["after_id"] = after_id
    if states is not None and FINAL.issuperset(states):
        where += [f"r.state = '{state.value}'" for state in states]
    elif states is not None:
        where.append(f"r.{_LIVE} AND IN_LIST(r.state, :states)")
        params["states"] = _names(states)
    # A session has an index of its own, which is not in the order of the page: it is kept from going by another.
    order = "r.created_at" if wanted.session_id is None else "+r.created_at"
    text = f"""WITH page AS (
                 SELECT r.run_id FROM runs r WHERE r.parent_id IS NULL {"".join(f" AND {one}" for one in where)}
                 AND NOT EXISTS (SELECT 1 FROM sessions s
                                 WHERE s.session_id = r.session_id AND s.deleted_at IS NOT NULL)
                 ORDER BY {order} DESC, r.run_id DESC LIMIT :limit)
               SELECT {_WITHOUT_MESSAGES} FROM page JOIN runs r ON r.run_id = page.run_id
               JOIN run_io io ON io.run_id = r.run_id"""
    return Statement(f"runs_page {where} {order}", text), {**params, "limit": wanted.limit}


def _page_conditions(params: Mapping[str, Any]) -> list[str]:
    """The conditions of a page, of which one leads to an index: a session has fewest runs, then a person."""
    lookup = next((name for name in ("session_id", "user_id", "owner") if name in params), None)
    by_index = ("r.component_kind", "r.component_id") if lookup is None else (f"r.{lookup}",)
    names = ("session_id", "user_id", "owner", "component_kind", "component_id")
    conditions = equalities((f"r.{name}" for name in names if name in params), by_index)
    return conditions + [_RANGES[name] for name in _RANGES if name in params]


async def page(tx: Tx, wanted: RunsQuery, caller: Caller) -> list[RunView]:
    """One page of root runs of all sessions, newest first, without their conversations."""
    groups: list[Collection[RunState] | None] = [None]
    if wanted.states is not None:
        unended = [state for state in wanted.states if not state.is_final]
        groups = [[state] for state in wanted.states if state.is_final]
        groups += [unended] if unended else []
    rows: list[Row] = []
    for states in groups:
        rows += await tx.all(*page_statement(wanted, caller, states))
    rows.sort(key=lambda row: (row["created_at"], row["run_id"]), reverse=True)
    return [run_view(row) for row in rows[: wanted.limit]]


async def live(tx: Tx, session_id: str) -> list[tuple[RunView, float | None]]:
    """The root runs of a session that have not ended, in the order of the line, and when each one's pause is over."""
    rows = await tx.all(LIVE, {"session_id": session_id})
    ahead = positions([run_row(row) for row in rows])
    found = []
    for row in rows:
        view = run_view(row)
        view.queue_position = ahead.get(view.row.run_id)
        found.append((view, row["expires_at"] if view.row.state is RunState.PAUSED else None))
    return found


def positions(line: Sequence[RunRow]) -> dict[str, int]:
    """How many runs are ahead of each that waits: what :func:`musterd.store.runs.queue_position` says of one.

    :param line: every root run of a session that has not ended, by ``seq``.
    """
    found = {run.run_id: 0 for run in line if run.state is RunState.READY}
    holders = sum(run.holder is not None for run in line)
    queued = [run for run in line if run.state is RunState.QUEUED]
    interrupters = [run for run in queued if run.on_busy is OnBusy.INTERRUPT]
    others = [run for run in queued if run.on_busy is not OnBusy.INTERRUPT]
    found.update((run.run_id, holders + place) for place, run in enumerate([*interrupters, *others]))
    for run in line:
        if run.state is RunState.SCHEDULED:
            before = interrupters if run.on_busy is OnBusy.INTERRUPT else queued
            found[run.run_id] = holders + len(before)
    return found
