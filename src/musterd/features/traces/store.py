"""The statements on traces: root runs that have begun, of all sessions, with their trees."""

import json
from collections.abc import Sequence
from typing import Any

from musterd.core import semconv
from musterd.core.callers import Caller
from musterd.core.records import Input, RunView, StepRow
from musterd.core.trace_ids import run_id_of
from musterd.features.traces.records import Condition, SessionTraces, TraceRow
from musterd.store import journal
from musterd.store.database import Row, Statement, Tx
from musterd.store.list_conditions import like_literal
from musterd.store.rows import qualified, run_row, run_view
from musterd.store.sessions import DELETED
from musterd.store.shards import SessionTx

_TRACE_ID = "COALESCE(substr(r.traceparent, 4, 32), r.trace_id, replace(r.run_id, '-', ''))"
_END = "COALESCE(r.ended_at, :now)"
FIELDS = {
    "trace_id": _TRACE_ID,
    "name": f"('{semconv.INVOKE_AGENT} ' || r.component_name)",
    "status": "CASE r.state WHEN 'completed' THEN 'OK' WHEN 'error' THEN 'ERROR' ELSE 'UNSET' END",
    "start_time": "r.started_at",
    "end_time": _END,
    "duration_ms": f"(({_END} - r.started_at) * 1000)",
    "run_id": "r.run_id",
    "session_id": "r.session_id",
    "user_id": "r.user_id",
    "agent_id": "CASE r.component_kind WHEN 'agent' THEN r.component_id END",
    "team_id": "CASE r.component_kind WHEN 'team' THEN r.component_id END",
    "workflow_id": "CASE r.component_kind WHEN 'workflow' THEN r.component_id END",
    "created_at": "r.created_at",
}
"""What a condition may name, each as SQL."""

_COMPARISONS = {"EQ": "=", "NEQ": "<>", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_FROM = f"""FROM runs r WHERE r.parent_id IS NULL AND r.started_at IS NOT NULL AND r.session_id NOT IN {DELETED}"""
# Attempt 0: the step was copied from another run, and belongs to that run's trace.
_COUNTS = """(SELECT count(*) FROM runs m WHERE m.root_id = r.run_id)
             + (SELECT count(*) FROM journal j WHERE j.root_id = r.run_id AND j.kind <> 'prepare' AND j.attempt > 0)
                 AS spans,
             (SELECT count(*) FROM runs m WHERE m.root_id = r.run_id AND m.state = 'error')
             + (SELECT count(*) FROM journal j WHERE j.root_id = r.run_id AND j.state = 'failed' AND j.attempt > 0)
                 AS errors"""
_ROW = f"SELECT {qualified('r')}, {_TRACE_ID} AS trace, io.input, {_COUNTS}"
_ROW_FROM = _FROM.replace("WHERE", "JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard WHERE", 1)
BY_RUN = Statement("trace_by_run", f"{_ROW} {_ROW_FROM} AND r.run_id = :run_id")
_LAST = """AND (CAST(:owner AS TEXT) IS NULL OR r.owner = :owner)
           ORDER BY r.created_at DESC, r.run_id DESC LIMIT 1"""
BY_STORED = Statement("trace_by_stored", f"{_ROW} {_ROW_FROM} AND r.trace_id = :trace_id {_LAST}")
# A range in place of LIKE, which an index serves on both databases.
BY_SENT = Statement("trace_by_sent", f"{_ROW} {_ROW_FROM} AND r.traceparent >= :low AND r.traceparent < :high {_LAST}")
_TREE = """FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
           WHERE r.root_id = :root_id AND r.shard = :shard
           ORDER BY r.created_at, r.path"""
TREE = Statement("trace_tree", f"SELECT {qualified('r')}, io.input, io.output, io.messages {_TREE}")
PLANS = Statement(
    "trace_plans",
    """SELECT r.root_id, COALESCE(r.path, '') AS path, j.result FROM runs r
       JOIN journal j ON j.root_id = r.root_id AND j.shard = r.shard
       AND j.path = CASE COALESCE(r.path, '') WHEN '' THEN 'p' ELSE r.path || '/p' END
       WHERE IN_LIST(r.root_id, :roots) AND r.component_kind = 'workflow'""",
)
# 0: copied from another run
PATHS = Statement("trace_paths", "SELECT root_id, path FROM journal WHERE IN_LIST(root_id, :roots) AND attempt > 0")
OUTLINE = Statement("trace_outline", f"SELECT {qualified('r')}, io.input, io.output, NULL AS messages {_TREE}")


def page_of(
    condition: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, newest first, and its parameters."""
    where = _Where(condition, caller, now)
    # A narrow condition selects few rows by its own index. The + keeps SQLite from walking the index of the order.
    order = "+r.created_at" if where.is_narrow else "r.created_at"
    text = f"{_ROW} {_ROW_FROM}{where.text} ORDER BY {order} DESC, r.run_id DESC LIMIT :limit OFFSET :offset"
    params = {**where.params, "limit": limit, "offset": _offset(limit, page)}
    return Statement("traces_page", text, is_one_off=True), params


async def search(
    tx: Tx, condition: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[list[TraceRow], int]:
    """One page of traces, newest first, and the number of all that match."""
    statement, params = page_of(condition, caller, now, limit=limit, page=page)
    rows = await tx.all(statement, params)
    row = await tx.one(*count_of(condition, caller, now))
    return [_trace(row) for row in rows], 0 if row is None else int(row["n"])


def count_of(condition: Condition | None, caller: Caller, now: float) -> tuple[Statement, dict[str, Any]]:
    """The statement that counts all that match, and its parameters.

    Root runs are counted in an index. The few that are not traces are subtracted.
    """
    where = _Where(condition, caller, now)
    others = _Where(condition, caller, now, has_lookup=False, first=len(where.params))
    text = f"""SELECT (SELECT count(*) FROM runs r WHERE r.parent_id IS NULL{where.text})
                    - (SELECT count(*) FROM runs r WHERE r.parent_id IS NULL AND r.started_at IS NULL{others.text})
                    - (SELECT count(*) FROM sessions s CROSS JOIN runs r
                       WHERE s.deleted_at IS NOT NULL AND r.session_id = s.session_id
                       AND r.parent_id IS NULL AND r.started_at IS NOT NULL{others.text}) AS n"""
    return Statement("traces_count", text, is_one_off=True), {**where.params, **others.params}


async def by_session(
    tx: Tx, condition: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[list[SessionTraces], int]:
    """One page of sessions with the number of their traces, last used first, and the number of sessions."""
    where = _Where(condition, caller, now)
    text = f"""SELECT r.session_id, max(r.user_id) AS user_id, max({FIELDS["agent_id"]}) AS agent_id,
                      max({FIELDS["team_id"]}) AS team_id,
                      max({FIELDS["workflow_id"]}) AS workflow_id, count(*) AS n,
                      min(r.created_at) AS first, max(r.created_at) AS last, count(*) OVER () AS sessions
               {_FROM}{where.text} GROUP BY r.session_id ORDER BY last DESC, r.session_id LIMIT :limit OFFSET :offset"""
    page_params = {**where.params, "limit": limit, "offset": _offset(limit, page)}
    rows = await tx.all(Statement("traces_by_session", text, is_one_off=True), page_params)
    if rows:
        total = int(rows[0]["sessions"])
    elif page > 1:  # beyond the last page
        total = (await by_session(tx, condition, caller, now, limit=1, page=1))[1]
    else:
        total = 0
    sessions = [
        SessionTraces(
            session_id=row["session_id"],
            user_id=row["user_id"],
            agent_id=row["agent_id"],
            team_id=row["team_id"],
            workflow_id=row["workflow_id"],
            total=int(row["n"]),
            first_at=row["first"],
            last_at=row["last"],
        )
        for row in rows
    ]
    return sessions, total


async def get(tx: Tx, trace_id: str, run_id: str | None, caller: Caller) -> TraceRow | None:
    """The trace; None: there is none that this caller may see.

    :param run_id: which of its runs, because a client may start several in one trace; None: the last.
    """
    owner = caller.sees_only
    # "." follows "-" in ASCII, so this range holds every traceparent of the trace.
    sent = {"low": f"00-{trace_id}-", "high": f"00-{trace_id}.", "owner": owner}
    lookups: list[tuple[Statement, dict[str, str | None]]] = [(BY_RUN, {"run_id": run_id or run_id_of(trace_id)})]
    if run_id is None:
        lookups += [(BY_STORED, {"trace_id": trace_id, "owner": owner}), (BY_SENT, sent)]
    for statement, params in lookups:
        row = await tx.one(statement, params)
        if row is not None and row["trace"] == trace_id and caller.may_see(row["owner"]):
            return _trace(row)
    return None


async def tree(tx: SessionTx, root_id: str, *, has_messages: bool) -> tuple[list[RunView], list[StepRow]]:
    """The runs of a trace, with or without their conversations, and its steps."""
    rows = await tx.all(TREE if has_messages else OUTLINE, {"root_id": root_id})
    runs = [await run_view(tx, row) for row in rows]
    return runs, list(await journal.steps_with_contents(tx, root_id))


async def plans_and_paths(tx: Tx, root_ids: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """What the workflows' runs of these trees stored first (``root_id``, ``path``, ``result``), and the paths of steps.

    Steps that were copied from another run are not among these.
    """
    roots = {"roots": json.dumps(list(root_ids))}
    return list(await tx.all(PLANS, roots)), list(await tx.all(PATHS, roots))


def _offset(limit: int, page: int) -> int:
    return max(page - 1, 0) * limit


_LOOKUPS = {
    "run_id": "r.run_id = :{0}",
    "trace_id": """r.run_id IN (SELECT run_id FROM runs WHERE run_id = :{0}_run
                                UNION ALL SELECT run_id FROM runs WHERE trace_id = :{0}
                                UNION ALL SELECT run_id FROM runs
                                WHERE traceparent >= :{0}_low AND traceparent < :{0}_high)""",
    "session_id": "r.session_id = :{0}",
    "user_id": "r.user_id = :{0}",
    "owner": "r.owner = :{0}",
    "agent_id": "r.component_kind = 'agent' AND r.component_id = :{0}",
    "team_id": "r.component_kind = 'team' AND r.component_id = :{0}",
    "workflow_id": "r.component_kind = 'workflow' AND r.component_id = :{0}",
}
"""What has an index, the one with the fewest runs first. Each condition goes by it, and holds for all that match."""
_NARROW = ("run_id", "trace_id", "session_id")


class _Where:
    """The conditions of a list of traces.

    :param has_lookup: whether one of them may lead to an index.
    :param first: the number of the first parameter.
    """

    def __init__(
        self, condition: Condition | None, caller: Caller, now: float, *, has_lookup: bool = True, first: int = 0
    ) -> None:
        self.params: dict[str, Any] = {}
        self._first = first
        parts = [] if condition is None else list(condition.parts) if condition.op == "AND" else [condition]
        conditions = [self._condition(part) for part in parts]
        values = {part.key: part.values[0] for part in parts if part.op == "EQ"}
        if caller.sees_only is not None:
            # An expression, so that SQLite does not pick the owner's index; _LOOKUPS has the bare column if that index
            # is wanted.
            conditions.append(f"r.owner || '' = {self._parameter(caller.sees_only)}")
            values["owner"] = caller.sees_only
        lookup = next((key for key in _LOOKUPS if key in values), None) if has_lookup else None
        if lookup is not None:
            conditions.append(self._lookup(lookup, str(values[lookup])))
        self.is_narrow = lookup in _NARROW
        self.text = "".join(f" AND {condition}" for condition in conditions)
        if ":now" in self.text:
            self.params["now"] = now

    def _parameter(self, value: str | float) -> str:
        name = f"v{self._first + len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def _lookup(self, key: str, value: str) -> str:
        name = self._parameter(value)[1:]
        if key == "trace_id":
            sent = {"low": f"00-{value}-", "high": f"00-{value}.", "run": run_id_of(value) or ""}
            self.params |= {f"{name}_{what}": at for what, at in sent.items()}
        return _LOOKUPS[key].format(name)

    def _condition(self, condition: Condition) -> str:
        """A condition as SQL that is true or false, never null."""
        if condition.op in ("AND", "OR"):
            parts = [self._condition(part) for part in condition.parts]
            return f"({f' {condition.op} '.join(parts)})" if parts else ("1 = 1" if condition.op == "AND" else "1 = 0")
        if condition.op == "NOT":
            return f"NOT {self._condition(condition.parts[0])}"
        if condition.key == "created_at":  # never null: bare, it goes by an index
            return self._compared(condition)
        return f"COALESCE({self._compared(condition)}, {'1 = 1' if condition.op == 'NEQ' else '1 = 0'})"

    def _compared(self, condition: Condition) -> str:
        column = FIELDS[condition.key]
        if condition.op == "IN":
            return f"IN_LIST({column}, {self._parameter(json.dumps(list(condition.values)))})"
        (value,) = condition.values
        if condition.op in ("CONTAINS", "STARTSWITH"):
            pattern = ("%" if condition.op == "CONTAINS" else "") + like_literal(str(value)) + "%"
            return f"lower({column}) LIKE lower({self._parameter(pattern)}) ESCAPE '\\'"
        return f"{column} {_COMPARISONS[condition.op]} {self._parameter(value)}"


def _trace(row: Row) -> TraceRow:
    return TraceRow(
        trace_id=row["trace"],
        run=run_row(row),
        message=Input.from_json(json.loads(row["input"])).message,
        spans=int(row["spans"]),
        errors=int(row["errors"]),
    )
