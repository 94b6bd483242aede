"""Accepting a run: once this one transaction is committed, the run cannot be lost."""

from dataclasses import dataclass, field, replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound, TooManyRequests
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.core.trace_ids import stored_trace_id
from musterd.store import cancels, idempotency, runs, session_queue, sessions, user_limits
from musterd.store.cancels import StopResult
from musterd.store.database import Row, Statement, Tx
from musterd.store.idempotency import Request
from musterd.store.rows import GET_RUN_BY_ID, run_row
from musterd.store.shards import SessionTx
from musterd.store.user_limits import UserLimits

WAITING = Statement(  # each count uses an index of that state; only root runs have these states
    "runs_waiting",
    """SELECT (SELECT count(*) FROM runs WHERE state = 'queued')
            + (SELECT count(*) FROM runs WHERE state = 'ready')
            + (SELECT count(*) FROM runs WHERE state = 'scheduled') AS n""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run to accept.

    :param run: its row. Acceptance sets lane, seq, state and holder in the copy that it returns. A run with a
        ``not_before`` joins its session's queue only at that time.
    :param fingerprint: a text that is equal for equal requests.
    :param has_chosen_id: whether the client chose the run id, so that it may repeat the request.
    :param alias: the id that the client chose, if the run got a different id; else None.
    :param key: the request's idempotency key, or None.
    :param operation: the operation to which the idempotency key belongs.
    :param slot_worker: the worker that reserved a slot for the run, or None if it has to wait for one.
    :param queue_depth: how many runs may wait.
    :param user_limits: the limits of one user. If the number of a user's running runs is limited, the run waits to be
        claimed even if a slot is free, because only claims count them.
    """

    run: RunRow
    input: Input
    caller: Caller
    fingerprint: str
    has_chosen_id: bool
    slot_worker: str | None
    queue_depth: int
    key: str | None = None
    alias: str | None = None
    operation: str = "create"
    user_limits: UserLimits = field(default_factory=UserLimits)

    @property
    def by_run_id(self) -> Request:
        """The request under the run id that the client chose."""
        if self.alias is not None:
            return self._request("run_id", self.alias)
        # An alias belongs to its caller, but an id is the same for all callers. The key of `runs` holds the shard, so
        # two callers could store runs of one id in different sessions at the same time: the key of this row prevents
        # it. The fingerprint still tells the callers apart.
        fingerprint = f"{self.caller.label} {self.fingerprint}" if self.caller.label else self.fingerprint
        return Request(caller="", kind="run_id", key=self.run.run_id, fingerprint=fingerprint)

    @property
    def by_key(self) -> Request | None:
        """The request under its idempotency key, if it has one."""
        return None if self.key is None else self._request(self.operation, self.key)

    def _request(self, kind: str, key: str) -> Request:
        return Request(caller=self.caller.label, kind=kind, key=key, fingerprint=self.fingerprint)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of an acceptance.

    :param is_repeated: whether an earlier, equal request had already created the run.
    :param interrupted: the run that this one cancelled, if any.
    """

    run: RunRow
    is_repeated: bool
    interrupted: StopResult | None = None


async def accept(tx: Tx, candidate: Candidate) -> Accepted:
    """Store a run: running if a slot and the session's queue are free, else ready or queued.

    :raises Conflict: the chosen run id or the idempotency key belongs to another run or request, or the session is busy
        and the run does not want to wait.
    :raises TooManyRequests: too many runs are waiting, in total or for this user.
    :raises NotFound: the session belongs to another user.
    """
    # A copy, because the transaction may be retried: a first try must not leave its state in the candidate.
    run, caller = replace(candidate.run), candidate.caller
    tx = SessionTx(tx, run.session_id)
    # Before the session's upsert: a repeated request must neither take a seq nor touch the session.
    if (earlier_run := await earlier(tx, candidate)) is not None:
        return Accepted(earlier_run, is_repeated=True)
    now = run.created_at
    # The upsert in `join` locks the session before the queue is read, so no other transaction can finish the head of
    # the queue, or become the head, between the decision in `_place` and the commit.
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
    # A run belongs to the owner of its session, also if an administrator started it.
    run.lane, run.seq, run.owner = run.session_id, session.next_seq - 1, session.owner
    run.trace_id = stored_trace_id(run.run_id)
    must_be_claimed = run.owner is not None and candidate.user_limits.concurrency > 0
    try:
        head_id = await _place(tx, run, None if must_be_claimed else candidate.slot_worker, session.updated_at)
        if run.state is not RunState.RUNNING:
            # Before the insert: the new run must not count itself.
            await _require_room(tx, candidate.queue_depth)
            await user_limits.require_room(tx, run.owner, candidate.user_limits)
    except (Conflict, TooManyRequests):
        # What leaves no room may be the run of the same request, which committed while this one waited for the session.
        if (earlier_run := await earlier(tx, candidate)) is not None:
            return Accepted(earlier_run, is_repeated=True)
        raise
    await runs.add(tx, run, jsontext.dumps(candidate.input.as_json()))
    # In the transaction that stores the run: after a crash both are there, and a repeated request finds them, or
    # neither.
    if candidate.has_chosen_id:
        await idempotency.keep(tx, candidate.by_run_id, run.run_id, now)
    if candidate.by_key is not None:
        await idempotency.keep(tx, candidate.by_key, run.run_id, now)
    # The interrupter must be stored first: if the cancelled run ends at once, it promotes the next run in the queue.
    interrupted = None if head_id is None else await cancels.interrupt(tx, head_id, run, now)
    return Accepted(run, is_repeated=False, interrupted=interrupted)


async def earlier(tx: Tx, candidate: Candidate) -> RunRow | None:
    """The run that the same caller created earlier with the same request, by idempotency key or by chosen id.

    :raises NotFound: it is in another user's session, which this caller may no longer see.
    """
    by_key = candidate.by_key
    if by_key is not None and (first_request := await idempotency.same(tx, by_key)):
        row = await tx.one(GET_RUN_BY_ID, {"run_id": first_request["run_id"]})
        return None if row is None else _visible(row, candidate.caller)
    if not candidate.has_chosen_id:
        return None
    # Read the run before its request: another process may commit both between these two statements. In the other order
    # this would see a run without a request, and report that its id is taken by someone else.
    row = await tx.one(GET_RUN_BY_ID, {"run_id": candidate.run.run_id})
    request = await idempotency.find(tx, candidate.by_run_id)
    if request is not None and request["run_id"] != candidate.run.run_id:  # the chosen id is an alias of that run
        row = await tx.one(GET_RUN_BY_ID, {"run_id": request["run_id"]})
    if row is None:
        return None
    if request is None or request["fingerprint"] != candidate.by_run_id.fingerprint:
        raise Conflict("This run_id is taken; choose another one.")
    # The same request as before, now with a key: keep the key, so that it cannot be used for another request.
    if by_key is not None:
        await idempotency.keep(tx, by_key, row["run_id"], candidate.run.created_at)
    return _visible(row, candidate.caller)


def _visible(row: Row, caller: Caller) -> RunRow:
    if not caller.may_see(row["owner"]):
        raise NotFound("Run not found")
    return run_row(row)


async def _place(tx: SessionTx, run: RunRow, slot_worker: str | None, now: float) -> str | None:
    """Set the run's first state; return the id of the run that it interrupts, if any."""
    if run.not_before is not None:
        run.state = RunState.SCHEDULED
        return None
    run.queued_at = now
    return await session_queue.place(tx, run, slot_worker)


async def _require_room(tx: Tx, queue_depth: int) -> None:
    # The count misses runs whose acceptance is not committed yet, so the limit may be exceeded by as many runs as there
    # are connections. That is harmless; an exact count would have to serialize all acceptances.
    waiting = await tx.one(WAITING, {})
    if waiting is not None and waiting["n"] >= queue_depth:
        raise TooManyRequests(f"{queue_depth} runs are already waiting; try again later.")
