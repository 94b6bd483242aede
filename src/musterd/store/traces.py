"""Traces: root runs that have begun, over all sessions; found by conditions, and read with their tree."""

import json
from typing import Any

from musterd.core import genai
from musterd.core.callers import Caller
from musterd.core.records import Input, RunView, StepRow
from musterd.core.traces import Condition, SessionTraces, TraceRow, run_id_of
from musterd.store import journal
from musterd.store.database import Row, Statement, Tx
from musterd.store.patterns import like_literal
from musterd.store.rows import qualified, run_row, run_view

_TRACE_ID = "COALESCE(substr(r.traceparent, 4, 32), r.trace_id, replace(r.run_id, '-', ''))"
_END = "COALESCE(r.ended_at, :now)"
FIELDS = {
    "trace_id": _TRACE_ID,
    "name": f"('{genai.INVOKE_AGENT} ' || r.component_name)",
    "status": "CASE r.state WHEN 'completed' THEN 'OK' WHEN 'error' THEN 'ERROR' ELSE 'UNSET' END",
    "start_time": "r.started_at",
    "end_time": _END,
    "duration_ms": f"(({_END} - r.started_at) * 1000)",
    "run_id": "r.run_id",
    "session_id": "r.session_id",
    "user_id": "r.user_id",
    "agent_id": "CASE r.component_kind WHEN 'agent' THEN r.component_id END",
    "team_id": "CASE r.component_kind WHEN 'team' THEN r.component_id END",
    "workflow_id": "CAST(NULL AS TEXT)",
    "created_at": "r.created_at",
}
"""What a condition may name, each as SQL."""

_COMPARISONS = {"EQ": "=", "NEQ": "<>", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_FROM = """FROM runs r JOIN sessions s ON s.session_id = r.session_id AND s.deleted_at IS NULL
           WHERE r.parent_id IS NULL AND r.started_at IS NOT NULL"""
_COUNTS = """(SELECT count(*) FROM runs m WHERE m.root_id = r.run_id)
             + (SELECT count(*) FROM journal j WHERE j.root_id = r.run_id AND j.kind <> 'prepare' AND j.attempt > 0)
                 AS spans,
             (SELECT count(*) FROM runs m WHERE m.root_id = r.run_id AND m.state = 'error')
             + (SELECT count(*) FROM journal j WHERE j.root_id = r.run_id AND j.state = 'failed' AND j.attempt > 0)
                 AS errors"""
_ROW = f"SELECT {qualified('r')}, {_TRACE_ID} AS trace, io.input, {_COUNTS}"
_ROW_FROM = _FROM.replace("WHERE", "JOIN run_io io ON io.run_id = r.run_id WHERE", 1)
BY_RUN = Statement("trace_by_run", f"{_ROW} {_ROW_FROM} AND r.run_id = :run_id")
_LAST = """AND (CAST(:owner AS TEXT) IS NULL OR r.owner = :owner)
           ORDER BY r.created_at DESC, r.run_id DESC LIMIT 1"""
BY_STORED = Statement("trace_by_stored", f"{_ROW} {_ROW_FROM} AND r.trace_id = :trace_id {_LAST}")
BY_SENT = Statement("trace_by_sent", f"{_ROW} {_ROW_FROM} AND r.traceparent >= :low AND r.traceparent < :high {_LAST}")
_TREE = """FROM runs r JOIN run_io io ON io.run_id = r.run_id WHERE r.root_id = :root_id
           ORDER BY r.created_at, r.path"""
TREE = Statement("trace_tree", f"SELECT {qualified('r')}, io.input, io.output, io.messages {_TREE}")
OUTLINE = Statement("trace_outline", f"SELECT {qualified('r')}, io.input, io.output, NULL AS messages {_TREE}")


def page_of(
    wanted: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, newest first, and its parameters."""
    where, params = _where(wanted, caller, now)
    text = f"{_ROW} {_ROW_FROM}{where} ORDER BY r.created_at DESC, r.run_id DESC LIMIT :limit OFFSET :offset"
    return Statement("traces_page", text, is_passing=True), {**params, "limit": limit, "offset": _offset(limit, page)}


async def search(
    tx: Tx, wanted: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[list[TraceRow], int]:
    """One page of traces, newest first, and the number of all that match."""
    statement, params = page_of(wanted, caller, now, limit=limit, page=page)
    rows = await tx.all(statement, params)
    return [_trace(row) for row in rows], await _count(tx, "count(*)", wanted, caller, now)


async def by_session(
    tx: Tx, wanted: Condition | None, caller: Caller, now: float, *, limit: int, page: int
) -> tuple[list[SessionTraces], int]:
    """One page of sessions with what is counted of their traces, the last used first, and of how many in all."""
    where, params = _where(wanted, caller, now)
    text = f"""SELECT r.session_id, max(r.user_id) AS user_id, max({FIELDS["agent_id"]}) AS agent_id,
                      max({FIELDS["team_id"]}) AS team_id, count(*) AS n,
                      min(r.created_at) AS first, max(r.created_at) AS last
               {_FROM}{where} GROUP BY r.session_id ORDER BY last DESC, r.session_id LIMIT :limit OFFSET :offset"""
    page_params = {**params, "limit": limit, "offset": _offset(limit, page)}
    rows = await tx.all(Statement("traces_by_session", text, is_passing=True), page_params)
    found = [
        SessionTraces(
            session_id=row["session_id"],
            user_id=row["user_id"],
            agent_id=row["agent_id"],
            team_id=row["team_id"],
            total=int(row["n"]),
            first_at=row["first"],
            last_at=row["last"],
        )
        for row in rows
    ]
    return found, await _count(tx, "count(DISTINCT r.session_id)", wanted, caller, now)


async def get(tx: Tx, trace_id: str, run_id: str | None, caller: Caller) -> TraceRow | None:
    """The trace, or None when there is none that this caller may see.

    :param run_id: which run of it: a client may start several runs in one trace. None: the last.
    """
    owner = caller.sees_only
    sent = {"low": f"00-{trace_id}-", "high": f"00-{trace_id}.", "owner": owner}
    asked: list[tuple[Statement, dict[str, str | None]]] = [(BY_RUN, {"run_id": run_id or run_id_of(trace_id)})]
    if run_id is None:
        asked += [(BY_STORED, {"trace_id": trace_id, "owner": owner}), (BY_SENT, sent)]
    for statement, params in asked:
        row = await tx.one(statement, params)
        if row is not None and row["trace"] == trace_id and caller.may_see(row["owner"]):
            return _trace(row)
    return None


async def tree(tx: Tx, root_id: str, *, has_messages: bool) -> tuple[list[RunView], list[StepRow]]:
    """The runs of a trace, with or without their conversations, and its steps."""
    rows = await tx.all(TREE if has_messages else OUTLINE, {"root_id": root_id})
    runs = [run_view(row) for row in rows]
    return runs, list(await journal.steps(tx, root_id))


async def _count(tx: Tx, what: str, wanted: Condition | None, caller: Caller, now: float) -> int:
    where, params = _where(wanted, caller, now)
    row = await tx.one(Statement("traces_count", f"SELECT {what} AS n {_FROM}{where}", is_passing=True), params)
    return 0 if row is None else int(row["n"])


def _offset(limit: int, page: int) -> int:
    return max(page - 1, 0) * limit


def _where(wanted: Condition | None, caller: Caller, now: float) -> tuple[str, dict[str, Any]]:
    params: dict[str, Any] = {}
    where = "" if wanted is None else f" AND {_sql(wanted, params)}"
    if caller.sees_only is not None:
        where += " AND r.owner = :owner"
        params["owner"] = caller.sees_only
    return where, {**params, "now": now} if ":now" in where else params


def _sql(wanted: Condition, params: dict[str, Any]) -> str:
    """A condition as SQL that is true or false, never null; its values go to ``params``."""
    if wanted.op in ("AND", "OR"):
        parts = [_sql(part, params) for part in wanted.parts]
        return f"({f' {wanted.op} '.join(parts)})" if parts else ("1 = 1" if wanted.op == "AND" else "1 = 0")
    if wanted.op == "NOT":
        return f"NOT {_sql(wanted.parts[0], params)}"
    return f"COALESCE({_compared(wanted, params)}, {'1 = 1' if wanted.op == 'NEQ' else '1 = 0'})"


def _compared(wanted: Condition, params: dict[str, Any]) -> str:
    column, name = FIELDS[wanted.key], f"v{len(params)}"
    if wanted.op == "IN":
        params[name] = json.dumps(list(wanted.values))
        return f"IN_LIST({column}, :{name})"
    (value,) = wanted.values
    if wanted.op in ("CONTAINS", "STARTSWITH"):
        params[name] = ("%" if wanted.op == "CONTAINS" else "") + like_literal(str(value)) + "%"
        return f"lower({column}) LIKE lower(:{name}) ESCAPE '\\'"
    params[name] = value
    return f"{column} {_COMPARISONS[wanted.op]} :{name}"


def _trace(row: Row) -> TraceRow:
    return TraceRow(
        trace_id=row["trace"],
        run=run_row(row),
        message=Input.from_json(json.loads(row["input"])).message,
        spans=int(row["spans"]),
        errors=int(row["errors"]),
    )
