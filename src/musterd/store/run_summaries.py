"""Summaries of runs. They are read without the payload, which may be long: only its first characters are.

The texts of ``run_io`` begin with the message and the answer (``Input.as_json``, ``Output.as_json``), so their start
can be read from the start of the JSON.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.queueing import OnBusy
from musterd.core.requirements import Requirement
from musterd.core.run_summaries import SUMMARY_CHARACTERS, SummarizedRun
from musterd.core.states import PENDING, RunState
from musterd.store.database import Row, Statement, Tx
from musterd.store.shards import SessionTx

_READ_CHARACTERS = 8 * SUMMARY_CHARACTERS
"""How much of a JSON text is read: each character of the summary may be escaped, and the name stands before it."""
_FIELDS = (
    *("run_id", "root_id", "parent_id", "path", "version", "next_event", "owner", "user_id", "session_id"),
    *("component_kind", "component_id", "component_name", "model", "attempt"),
    *("created_at", "queued_at", "started_at", "ended_at", "cancel_requested_at"),
)
# `|| ''` keeps SQLite from reading all pending approvals (list_conditions.py).
_PENDING_APPROVALS = """FROM approvals a
                        WHERE a.root_id = r.root_id AND a.shard = r.shard AND a.status || '' = 'pending'
                        AND (r.parent_id IS NULL OR a.run_id = r.run_id)"""
COLUMNS = f"""{", ".join(f"r.{name}" for name in _FIELDS)}, r.state, r.lane, r.on_busy, r.totals, r.activity,
    substr(COALESCE(s.name, s.first_message), 1, {SUMMARY_CHARACTERS}) AS session_name,
    substr(io.input, 1, {_READ_CHARACTERS}) AS input,
    CASE r.state WHEN 'error' THEN io.output ELSE substr(io.output, 1, {_READ_CHARACTERS}) END AS output,
    (SELECT count(*) {_PENDING_APPROVALS}) AS waiting,
    (SELECT a.request {_PENDING_APPROVALS} ORDER BY a.created_at, a.id LIMIT 1) AS waiting_request"""
"""The columns of a summary, from :data:`JOINS`. An error stands at the end of an output, so it is read whole."""
JOINS = """JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
           JOIN sessions s ON s.session_id = r.session_id AND s.shard = r.shard AND s.deleted_at IS NULL"""
_SELECT = f"SELECT {COLUMNS} FROM runs r {JOINS} WHERE "
BY_IDS = Statement("run_summaries", _SELECT + "IN_LIST(r.run_id, :run_ids)")
MEMBERS = Statement(
    "run_member_summaries",
    # The shard as a parameter in subqueries too, so that the database knows it before it reads the runs.
    _SELECT.replace("shard = r.shard", "shard = :shard")
    + "r.root_id = :root_id AND r.shard = :shard AND r.parent_id IS NOT NULL ORDER BY r.created_at, r.path",
)
# The head and the queued runs of each session, by their indexes.
QUEUES = Statement(
    "run_queues",
    """SELECT run_id, holder AS lane, seq, on_busy, 1 AS is_head FROM runs WHERE IN_LIST(holder, :lanes)
       UNION ALL
       SELECT run_id, lane, seq, on_busy, 0 AS is_head FROM runs WHERE IN_LIST(lane, :lanes) AND state = 'queued'""",
)
_STRING_START = re.compile(r'"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')


async def by_ids(tx: Tx, run_ids: Iterable[str]) -> list[SummarizedRun]:
    """The summaries of these runs, roots or members, in no order. Runs that do not exist are left out."""
    return await of_rows(tx, await tx.all(BY_IDS, {"run_ids": json.dumps(list(run_ids))}))


async def members(tx: SessionTx, root_id: str, elsewhere: Sequence[str] = ()) -> list[SummarizedRun]:
    """The summaries of the members' runs of a tree, in the order of their start.

    :param elsewhere: ids of members' runs in other trees that the root took over; they come first.
    """
    taken_over = await by_ids(tx, elsewhere) if elsewhere else []
    taken_over.sort(key=lambda run: (run.created_at, run.path))
    return [*taken_over, *await of_rows(tx, await tx.all(MEMBERS, {"root_id": root_id}))]


async def of_rows(tx: Tx, rows: Sequence[Row]) -> list[SummarizedRun]:
    """The summaries in rows with :data:`COLUMNS`."""
    position_of = await _queue_positions(tx, rows)
    return [_summary(row, position_of.get(row["run_id"])) for row in rows]


async def _queue_positions(tx: Tx, rows: Sequence[Row]) -> dict[str, int]:
    """How many runs are ahead of each pending run, as :func:`musterd.store.runs.queue_position` computes it.

    The queue of each session is read once, so that a page of many pending runs of one session stays cheap.
    """
    position_of = {row["run_id"]: 0 for row in rows if row["state"] == RunState.READY}
    waiting = [row for row in rows if row["state"] in PENDING and row["run_id"] not in position_of and row["lane"]]
    if not waiting:
        return position_of
    lanes = json.dumps(sorted({row["lane"] for row in waiting}))
    queues: dict[str, list[Row]] = {}
    for row in await tx.all(QUEUES, {"lanes": lanes}):
        queues.setdefault(row["lane"], []).append(row)
    for lane, queue in queues.items():
        heads = sum(row["is_head"] for row in queue)
        queued = sorted((row for row in queue if not row["is_head"]), key=lambda row: row["seq"])
        interrupters = [row for row in queued if row["on_busy"] == OnBusy.INTERRUPT]
        others = [row for row in queued if row["on_busy"] != OnBusy.INTERRUPT]
        position_of.update((row["run_id"], heads + place) for place, row in enumerate([*interrupters, *others]))
        for row in waiting:  # a delayed run gets its place at the end of the queue when it is due
            if row["lane"] == lane and row["state"] == RunState.SCHEDULED:
                ahead = interrupters if row["on_busy"] == OnBusy.INTERRUPT else queued
                position_of[row["run_id"]] = heads + len(ahead)
    for row in waiting:
        position_of.setdefault(row["run_id"], 0)
    return position_of


def _summary(row: Row, queue_position: int | None) -> SummarizedRun:
    state, request = RunState(row["state"]), row["waiting_request"]
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return SummarizedRun(
        **values,
        state=state,
        session_name=row["session_name"],
        input=_first_text(row["input"]) or "",
        answer=_answer(state, row["output"]),
        waiting=int(row["waiting"]),
        question=None if request is None else Requirement.from_json(json.loads(request)),
        queue_position=queue_position,
        totals=_object(row["totals"]),
        activity=_object(row["activity"]),
    )


def _object(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _answer(state: RunState, output: str | None) -> str | None:
    if output is None:
        return None
    if state is RunState.ERROR:
        error = json.loads(output).get("error") or {}
        if message := error.get("message"):
            return str(message)[:SUMMARY_CHARACTERS]
    return _first_text(output)


def _first_text(text: str) -> str | None:
    """The start of the first value of a JSON object that may be cut off: of a string, or else of its JSON."""
    value = text.partition(":")[2].lstrip()
    if string := _STRING_START.match(value):
        return jsontext.storable(json.loads(f'"{string[1]}"', strict=False))[:SUMMARY_CHARACTERS]
    if value.startswith("null"):
        return None
    try:
        end = json.JSONDecoder().raw_decode(value)[1]
    except ValueError:  # it is longer than what was read
        end = len(value)
    return value[: min(end, SUMMARY_CHARACTERS)]
