"""Acceptance: the one transaction after which a run cannot be lost."""

from dataclasses import dataclass, replace

from musterd.core import jsontext
from musterd.core.errors import Conflict, TooManyRequests
from musterd.core.records import Caller, Input, RunRow
from musterd.core.states import RunState
from musterd.store import sessions
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS, RUN_FIELDS, run_params, run_row

GET_REQUEST = Statement(
    "request_get",
    "SELECT fingerprint, run_id FROM requests WHERE caller = :caller AND kind = :kind AND key = :key",
)
ADD_REQUEST = Statement(
    "request_add",
    """INSERT INTO requests (caller, kind, key, fingerprint, run_id, created_at)
       VALUES (:caller, :kind, :key, :fingerprint, :run_id, :now)""",
)
GET_RUN = Statement("run_get", f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id")
HOLDER = Statement("lane_holder", "SELECT run_id FROM runs WHERE holder = :lane")
WAITING = Statement(  # from three indexes alone; only root runs wait
    "runs_waiting",
    """SELECT (SELECT count(*) FROM runs WHERE state = 'queued')
            + (SELECT count(*) FROM runs WHERE state = 'ready')
            + (SELECT count(*) FROM runs WHERE state = 'scheduled') AS n""",
)
ADD_RUN = Statement(
    "run_add",
    f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({', '.join(':' + name for name in RUN_FIELDS)})",
)
ADD_IO = Statement("run_io_add", "INSERT INTO run_io (run_id, input) VALUES (:run_id, :input)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run that asks to be accepted.

    :param run: its row; lane, seq, state and holder are decided here, in the row that is returned.
    :param fingerprint: of the request; the same text for the same request.
    :param has_chosen_id: the client chose the run id, and may send the same request again.
    :param slot_worker: the worker that keeps a slot free for it, or None when it has to wait for one.
    :param queue_depth: how many runs may wait.
    """

    run: RunRow
    input: Input
    caller: Caller
    fingerprint: str
    has_chosen_id: bool
    slot_worker: str | None
    queue_depth: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run that answers the request, and whether it was there before."""

    run: RunRow
    is_replay: bool


async def accept(tx: Tx, candidate: Candidate) -> Accepted:
    """Store a run, as running where a slot and its lane are free, else ready or queued.

    :raises Conflict: the chosen run id names another run, or another request.
    :raises TooManyRequests: too many runs wait already.
    :raises NotFound: the session belongs to another user.
    """
    run, caller = replace(candidate.run), candidate.caller  # a copy: a transaction may be tried twice
    if candidate.has_chosen_id and (earlier := await _earlier(tx, candidate)):
        return Accepted(earlier, is_replay=True)
    now = run.created_at
    session = await sessions.join(
        tx,
        {
            "session_id": run.session_id,
            "owner": caller.user_id,
            "user_id": run.user_id,
            "component_kind": run.component_kind,
            "component_id": run.component_id,
            "first_message": candidate.input.message[:200],
            "now": now,
        },
        caller,
    )
    run.lane, run.seq, run.queued_at = run.session_id, session.next_seq - 1, now
    await _place(tx, run, candidate)
    if run.state is not RunState.RUNNING:
        await _require_room(tx, candidate.queue_depth)
    await tx.run(ADD_RUN, run_params(run))
    await tx.run(ADD_IO, {"run_id": run.run_id, "input": jsontext.dumps(candidate.input.as_json())})
    if candidate.has_chosen_id:
        await tx.run(ADD_REQUEST, {**_request_key(candidate), "run_id": run.run_id, "now": now})
    return Accepted(run, is_replay=False)


def _request_key(candidate: Candidate) -> dict[str, str]:
    return {
        "caller": candidate.caller.label,
        "kind": "run_id",
        "key": candidate.run.run_id,
        "fingerprint": candidate.fingerprint,
    }


async def _earlier(tx: Tx, candidate: Candidate) -> RunRow | None:
    """The run that the same caller started with the same request under this id."""
    row = await tx.one(GET_RUN, {"run_id": candidate.run.run_id})
    if row is None:
        return None
    request = await tx.one(GET_REQUEST, _request_key(candidate))
    if request is None or request["fingerprint"] != candidate.fingerprint:
        raise Conflict("This run_id is taken; choose another one.")
    return run_row(row)


async def _place(tx: Tx, run: RunRow, candidate: Candidate) -> None:
    """Decide where the run begins: running, ready or queued."""
    if await tx.one(HOLDER, {"lane": run.lane}) is not None:
        run.state = RunState.QUEUED
        return
    run.holder = run.lane
    if candidate.slot_worker is None:
        run.state = RunState.READY
        return
    run.state, run.attempt, run.worker, run.started_at = (
        RunState.RUNNING,
        1,
        candidate.slot_worker,
        run.created_at,
    )


async def _require_room(tx: Tx, queue_depth: int) -> None:
    waiting = await tx.one(WAITING, {})
    if waiting is not None and waiting["n"] >= queue_depth:
        raise TooManyRequests(f"{queue_depth} runs are waiting already; try again later.")
