"""Lists of runs: all runs of a session, its unfinished runs, and runs across sessions.

Pages count root runs. Lists of one session include members' runs, once their root has paused or finished. Lists across
sessions contain root runs only.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from musterd.core.callers import Caller
from musterd.core.queueing import OnBusy
from musterd.core.records import RunRow, RunView
from musterd.core.run_summaries import SummarizedRun
from musterd.core.states import FINAL, RunState
from musterd.store import run_summaries
from musterd.store.database import Row, Statement, Tx
from musterd.store.list_conditions import equalities
from musterd.store.rows import qualified, run_row, run_view
from musterd.store.run_search import MATCHES, SEARCHED_RUNS, like_pattern
from musterd.store.sessions import DELETED
from musterd.store.shards import SessionTx

NO_LIMIT = 2**53
_WITHOUT_MESSAGES = f"{qualified('r')}, io.input, io.output, NULL AS messages"
_WITH_MESSAGES = f"{qualified('r')}, io.input, io.output, io.messages"
_LIVE = "state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"
LIVE = Statement(
    "runs_live",
    f"""SELECT {_WITHOUT_MESSAGES}, r.expires_at
        FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
        WHERE r.session_id = :session_id AND r.shard = :shard AND r.parent_id IS NULL AND r.{_LIVE} ORDER BY r.seq""",
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
            """seq < (SELECT seq FROM runs WHERE run_id = :before AND shard = :shard AND session_id = :session_id
                      AND parent_id IS NULL)"""
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
        roots.append(f"EXISTS (SELECT 1 FROM runs r WHERE r.root_id = runs.run_id AND r.shard = :shard AND {matches})")
    columns = _WITH_MESSAGES if query.has_messages else _WITHOUT_MESSAGES
    where = " AND ".join((*listed, _is_listed("roots", query)))
    text = f"""WITH roots AS (SELECT run_id, seq, state FROM runs
                              WHERE session_id = :session_id AND shard = :shard AND parent_id IS NULL
                              {"".join(f" AND {condition}" for condition in roots)} ORDER BY seq DESC LIMIT :limit)
               SELECT {columns} FROM roots JOIN runs r ON r.root_id = roots.run_id AND r.shard = :shard
               JOIN run_io io ON io.run_id = r.run_id AND io.shard = :shard
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
    rows = await SessionTx(tx, query.session_id).all(*of_session_statement(query))
    return [await run_view(tx, row) for row in rows]


def _names(states: Collection[RunState]) -> str:
    return json.dumps(sorted(state.value for state in states))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    """Which root runs to list across sessions, newest first. None: no such condition.

    :param text: a text in the message, the answer or the id; only the newest :data:`SEARCHED_RUNS` runs that meet the
        other conditions are searched.
    :param needs_you: only runs with a pending approval.
    :param after: the acceptance time and the id of the last run of the previous page.
    """

    states: Collection[RunState] | None = None
    component: Component | None = None
    user_id: str | None = None
    session_id: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    text: str | None = None
    needs_you: bool = False
    after: tuple[float, str] | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """How many root runs there are.

    :param by_state: by state, without states that no run has.
    :param needs_you: those with a pending approval.
    """

    by_state: Mapping[RunState, int]
    needs_you: int


Position = tuple[float, str]
"""The acceptance and the id of a run: its place in a list across sessions."""
_RANGES = {
    "created_after": "r.created_at >= :created_after",
    "created_before": "r.created_at <= :created_before",
    "after_at": "(r.created_at, r.run_id) < (:after_at, :after_id)",
}
_WITH_APPROVALS = "r.run_id IN (SELECT root_id FROM approvals WHERE status = 'pending')"
_IN_ORDER = "r.created_at DESC, r.run_id DESC"
_VIEWS = f"""SELECT {_WITHOUT_MESSAGES} FROM page JOIN runs r ON r.run_id = page.run_id AND r.shard = page.shard
             JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard"""
_SUMMARIES = f"""SELECT {run_summaries.COLUMNS} FROM page JOIN runs r ON r.run_id = page.run_id AND r.shard = page.shard
                 {run_summaries.JOINS}"""
_NOT_DELETED = """NOT EXISTS (SELECT 1 FROM sessions s
                              WHERE s.session_id = r.session_id AND s.shard = r.shard
                              AND s.deleted_at IS NOT NULL)"""


@dataclass(frozen=True, slots=True)
class _Selection:
    """A part of the runs of a query: the conditions, their order and their parameters."""

    where: str
    order: str
    params: dict[str, Any]

    def newest(self, limit: str) -> str:
        """The statement that selects the newest of them that are not deleted."""
        return f"""SELECT r.run_id, r.shard, r.created_at FROM runs r WHERE {self.where} AND {_NOT_DELETED}
                   ORDER BY {self.order} LIMIT {limit}"""


def _selection(
    query: RunsQuery, caller: Caller, states: Collection[RunState] | None, *, by_component: bool = True
) -> _Selection:
    """The runs of a query with certain states.

    :param states: a single final state, or any unfinished states: each of these has an index, and other combinations
        would not use one. None: all states.
    :param by_component: whether the index of the component may be used.
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
    where = ["r.parent_id IS NULL", *_page_conditions(params, query, by_component=by_component)]
    if after_id is not None:
        params["after_id"] = after_id
    if states is not None and FINAL.issuperset(states):
        where += [f"r.state = '{state.value}'" for state in states]
    elif states is not None:
        where.append(f"r.{_LIVE} AND IN_LIST(r.state, :states)")
        params["states"] = _names(states)
    # The indexes of a session and of a run id are not in the order of the page. The "+" keeps SQLite from using another
    # one for the order.
    is_looked_up = query.session_id is not None or query.needs_you
    return _Selection(" AND ".join(where), f"+{_IN_ORDER}" if is_looked_up else _IN_ORDER, params)


def page_statement(
    query: RunsQuery, caller: Caller, states: Collection[RunState] | None, select: str = _VIEWS
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page of runs, in no order, and its parameters.

    :param states: as in :func:`_selection`.
    :param select: what is read of each run of the page.
    """
    chosen = _selection(query, caller, states)
    params = {**chosen.params, "limit": query.limit}
    pages = f"page AS ({chosen.newest(':limit')})"
    if query.text is not None:
        params |= {"pattern": like_pattern(query.text), "searched": SEARCHED_RUNS}
        pages = f"""searched AS ({chosen.newest(":searched")}),
                    page AS (SELECT r.run_id, r.shard FROM searched
                             JOIN runs r ON r.run_id = searched.run_id AND r.shard = searched.shard
                             JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
                             WHERE {MATCHES} ORDER BY +{_IN_ORDER} LIMIT :limit)"""
    name = f"runs_page {chosen.where} {chosen.order} {select == _SUMMARIES} {query.text is not None}"
    return Statement(name, f"WITH {pages} {select}"), params


def _page_conditions(params: Mapping[str, Any], query: RunsQuery, *, by_component: bool) -> list[str]:
    """The conditions of a page. One column uses its index: that of the runs with approvals, the session's, or the
    user's, whichever has the fewest runs."""
    lookup = next((name for name in ("session_id", "user_id", "owner") if name in params and not query.needs_you), None)
    by_index = [] if lookup is None else [f"r.{lookup}"]
    if lookup is None and by_component and not query.needs_you:
        by_index = ["r.component_kind", "r.component_id"]
    names = ("session_id", "user_id", "owner", "component_kind", "component_id")
    conditions = equalities((f"r.{name}" for name in names if name in params), by_index)
    conditions += [_WITH_APPROVALS] if query.needs_you else []
    return conditions + [_RANGES[name] for name in _RANGES if name in params]


async def page(tx: Tx, query: RunsQuery, caller: Caller) -> list[RunView]:
    """One page of root runs of all sessions, newest first, without their conversations."""
    return [await run_view(tx, row) for row in await _page_rows(tx, query, caller, _VIEWS)]


async def page_of_summaries(tx: Tx, query: RunsQuery, caller: Caller) -> list[SummarizedRun]:
    """One page of root runs of all sessions, newest first, in a few words."""
    return await run_summaries.of_rows(tx, await _page_rows(tx, query, caller, _SUMMARIES))


async def _page_rows(tx: Tx, query: RunsQuery, caller: Caller, select: str) -> list[Row]:
    rows: list[Row] = []
    for states in _groups(query):
        rows += await tx.all(*page_statement(query, caller, states, select))
    rows.sort(key=lambda row: (row["created_at"], row["run_id"]), reverse=True)
    end = await search_end(tx, query, caller)
    # Beyond the end, runs of one group were searched and others were not: they belong to the next page.
    return [row for row in rows[: query.limit] if end is None or (row["created_at"], row["run_id"]) >= end]


def _groups(query: RunsQuery) -> list[Collection[RunState] | None]:
    """The states of the query, in groups that have an index each."""
    if query.states is None:
        return [None]
    unfinished = [state for state in query.states if not state.is_final]
    groups: list[Collection[RunState] | None] = [[state] for state in query.states if state.is_final]
    return [*groups, unfinished] if unfinished else groups


async def search_end(tx: Tx, query: RunsQuery, caller: Caller) -> Position | None:
    """The last run that a page of a search looks at. None: it looks at all, or is no search."""
    ends = []
    for states in _groups(query) if query.text is not None else ():
        chosen = _selection(query, caller, states)
        statement = Statement(f"runs_searched {chosen.where}", chosen.newest("1 OFFSET :offset"))
        if (row := await tx.one(statement, {**chosen.params, "offset": SEARCHED_RUNS - 1})) is not None:
            ends.append((row["created_at"], row["run_id"]))
    return max(ends, default=None)


async def counts(tx: Tx, query: RunsQuery, caller: Caller) -> RunCounts:
    """How many root runs there are in each state, of the runs that a query without states would list on all pages.

    Of a search, it counts among the newest :data:`SEARCHED_RUNS` runs.
    """
    chosen = _selection(query, caller, None)
    if query.text is not None:
        return await _counts_of_search(tx, chosen, query.text)
    rows: list[Row] = []
    for states in ([RunState.ERROR], [RunState.CANCELLED], [state for state in RunState if not state.is_final]):
        of_states = _selection(query, caller, states, by_component=False)
        # The time is there for SQLite: it makes the index of the states the one to search.
        of_states = replace(of_states, where=f"{of_states.where} AND r.created_at >= 0")
        rows += await tx.all(*_count_statement(of_states, "r.state"))
    by_state = {RunState(row["state"]): int(row["n"]) for row in rows}
    # No index has the state of completed runs, which are most of the runs: they are the rest.
    everything = await tx.one(*_count_statement(chosen, "1"))
    by_state[RunState.COMPLETED] = (0 if everything is None else int(everything["n"])) - sum(by_state.values())
    deleted = _selection(query, caller, None, by_component=False)
    deleted = replace(deleted, where=f"{deleted.where} AND r.session_id IN {DELETED}")
    for row in await tx.all(*_count_statement(deleted, "r.state")):
        by_state[RunState(row["state"])] -= int(row["n"])
    asking = _selection(replace(query, needs_you=True), caller, None)
    text = f"SELECT count(*) AS n FROM runs r WHERE {asking.where} AND {_NOT_DELETED}"
    waiting = await tx.one(Statement(f"runs_waiting_count {asking.where}", text), asking.params)
    return RunCounts(by_state=by_state, needs_you=0 if waiting is None else int(waiting["n"]))


def _count_statement(chosen: _Selection, column: str) -> tuple[Statement, dict[str, Any]]:
    text = f"SELECT {column} AS state, count(*) AS n FROM runs r WHERE {chosen.where} GROUP BY {column}"
    if column == "1":
        text = f"SELECT count(*) AS n FROM runs r WHERE {chosen.where}"
    return Statement(f"runs_count {column} {chosen.where}", text), chosen.params


async def _counts_of_search(tx: Tx, chosen: _Selection, searched_text: str) -> RunCounts:
    text = f"""WITH searched AS ({chosen.newest(":searched")})
               SELECT r.state, count(*) AS n, sum(CASE WHEN {_WITH_APPROVALS} THEN 1 ELSE 0 END) AS needs_you
               FROM searched JOIN runs r ON r.run_id = searched.run_id AND r.shard = searched.shard
               JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
               WHERE {MATCHES} GROUP BY r.state"""
    params = {**chosen.params, "pattern": like_pattern(searched_text), "searched": SEARCHED_RUNS}
    rows = await tx.all(Statement(f"runs_count_search {chosen.where}", text), params)
    by_state = {RunState(row["state"]): int(row["n"]) for row in rows}
    return RunCounts(by_state=by_state, needs_you=sum(int(row["needs_you"]) for row in rows))


async def live(tx: Tx, session_id: str) -> list[tuple[RunView, float | None]]:
    """The unfinished root runs of a session in the order of the queue, each with its expiry if it is paused."""
    rows = await SessionTx(tx, session_id).all(LIVE, {"session_id": session_id})
    position_of = positions([run_row(row) for row in rows])
    views = []
    for row in rows:
        view = await run_view(tx, row)
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
