"""Acceptance: the one transaction after which a run cannot be lost."""

from dataclasses import dataclass, field, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound, TooManyRequests
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.core.trace_ids import stored_trace_id
from musterd.store import idempotency, session_queue, sessions, user_limits
from musterd.store.cancels import Cancelled
from musterd.store.database import Row, Statement, Tx
from musterd.store.idempotency import Request
from musterd.store.rows import GET_RUN, add_run, run_row
from musterd.store.user_limits import UserLimits

WAITING = Statement(  # from three indexes alone; only root runs wait
    "runs_waiting",
    """SELECT (SELECT count(*) FROM runs WHERE state = 'queued')
            + (SELECT count(*) FROM runs WHERE state = 'ready')
            + (SELECT count(*) FROM runs WHERE state = 'scheduled') AS n""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run that asks to be accepted.

    :param run: its row; lane, seq, state and holder are decided here, in the row that is returned. One with a
        ``not_before`` waits for that time before it joins its lane.
    :param fingerprint: of the request; the same text for the same request.
    :param has_chosen_id: the client chose the run id, and may send the same request again.
    :param name: the id that the client chose, if the run has another one of its own; None: the run's own.
    :param key: the request's idempotency key, or None.
    :param operation: what the request asks for, as keys are told apart.
    :param slot_worker: the worker that keeps a slot free for it, or None when it has to wait for one.
    :param queue_depth: how many runs may wait.
    :param shares: what one user may have of the server. Where only so many of its runs may be at work, a run waits to
        be claimed even if a slot is free: whoever claims counts.
    """

    run: RunRow
    input: Input
    caller: Caller
    fingerprint: str
    has_chosen_id: bool
    slot_worker: str | None
    queue_depth: int
    key: str | None = None
    name: str | None = None
    operation: str = "create"
    shares: UserLimits = field(default_factory=UserLimits)

    @property
    def by_run_id(self) -> Request:
        """The request under the run id that the client chose."""
        return self._request("run_id", self.run.run_id if self.name is None else self.name)

    @property
    def by_key(self) -> Request | None:
        """The request under its idempotency key, if it has one."""
        return None if self.key is None else self._request(self.operation, self.key)

    def _request(self, kind: str, key: str) -> Request:
        return Request(caller=self.caller.label, kind=kind, key=key, fingerprint=self.fingerprint)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run that answers the request, whether it was there before, and the run that it has cancelled, if any."""

    run: RunRow
    is_replay: bool
    interrupted: Cancelled | None = None


async def accept(tx: Tx, candidate: Candidate) -> Accepted:
    """Store a run, as running where a slot and its lane are free, else ready or queued.

    :raises Conflict: the chosen run id names another run, or another request; so does the idempotency key; the
        session is busy and the run does not want to wait.
    :raises TooManyRequests: too many runs wait already, in all or of this user.
    :raises NotFound: the session belongs to another user.
    """
    run, caller = replace(candidate.run), candidate.caller  # a copy: a transaction may be tried twice
    if (known := await earlier(tx, candidate)) is not None:
        return Accepted(known, is_replay=True)
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
    run.lane, run.seq, run.owner = run.session_id, session.next_seq - 1, session.owner  # whoever it was that asked
    run.trace_id = stored_trace_id(run.run_id)
    is_claimed = run.owner is not None and candidate.shares.concurrency > 0
    at_work = await _place(tx, run, None if is_claimed else candidate.slot_worker, session.updated_at)
    if run.state is not RunState.RUNNING:
        await _require_room(tx, candidate.queue_depth)
        await user_limits.require_room(tx, run.owner, candidate.shares)
    await add_run(tx, run, jsontext.dumps(candidate.input.as_json()))
    if candidate.has_chosen_id:
        await idempotency.keep(tx, candidate.by_run_id, run.run_id, now)
    if candidate.by_key is not None:
        await idempotency.keep(tx, candidate.by_key, run.run_id, now)
    interrupted = None if at_work is None else await session_queue.interrupt(tx, at_work, run, now)
    return Accepted(run, is_replay=False, interrupted=interrupted)


async def earlier(tx: Tx, candidate: Candidate) -> RunRow | None:
    """The run that the same caller started with the same request, under this key or this id.

    :raises NotFound: it is in another user's session, which this caller may not see any more.
    """
    by_key = candidate.by_key
    if by_key is not None and (kept := await idempotency.same(tx, by_key)):
        row = await tx.one(GET_RUN, {"run_id": kept["run_id"]})
        return None if row is None else _visible(row, candidate.caller)
    if not candidate.has_chosen_id:
        return None
    # The run before its request: another process may commit both between these statements. The other way round, its run
    # without a request would look like somebody else's.
    row = await tx.one(GET_RUN, {"run_id": candidate.run.run_id})
    request = await idempotency.find(tx, candidate.by_run_id)
    if request is not None and request["run_id"] != candidate.run.run_id:  # the chosen id is a name of that run
        row = await tx.one(GET_RUN, {"run_id": request["run_id"]})
    if row is None:
        return None
    if request is None or request["fingerprint"] != candidate.fingerprint:
        raise Conflict("This run_id is taken; choose another one.")
    if by_key is not None:
        await idempotency.keep(tx, by_key, row["run_id"], candidate.run.created_at)
    return _visible(row, candidate.caller)


def _visible(row: Row, caller: Caller) -> RunRow:
    if not caller.may_see(row["owner"]):
        raise NotFound("Run not found")
    return run_row(row)


async def _place(tx: Tx, run: RunRow, slot_worker: str | None, now: float) -> str | None:
    """Decide where the run begins; the run at work that it interrupts, if any."""
    if run.not_before is not None:
        run.state = RunState.SCHEDULED
        return None
    run.queued_at = now
    return await session_queue.place(tx, run, slot_worker)


async def _require_room(tx: Tx, queue_depth: int) -> None:
    # Of those that others accept at this moment nothing is known: up to a connection each, which a bound on what the
    # server keeps can bear. To know it all would have to be accepted one after the other.
    waiting = await tx.one(WAITING, {})
    if waiting is not None and waiting["n"] >= queue_depth:
        raise TooManyRequests(f"{queue_depth} runs are waiting already; try again later.")
