"""Due times: delayed runs join their session's queue when they are due, pending runs fail at their deadline."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.errors import Conflict, LimitReached, RunFailed
from musterd.core.records import RunRow
from musterd.core.states import PENDING, RunState
from musterd.store import cancels, run_failures, run_locks, session_queue, sessions, transitions
from musterd.store.cancels import StopResult
from musterd.store.database import Row, Statement, Tx
from musterd.store.shards import SessionTx

LIMIT = 100
"""The most runs that one transaction moves."""

DUE = Statement(
    "runs_due",
    """SELECT run_id, session_id FROM runs WHERE state = 'scheduled' AND not_before <= :now
       ORDER BY not_before, created_at, seq LIMIT :limit""",
)
OVERDUE = Statement(
    "runs_overdue",
    """SELECT run_id, session_id FROM runs
       WHERE state IN ('scheduled', 'queued', 'ready') AND deadline_at IS NOT NULL AND deadline_at <= :now
       ORDER BY deadline_at LIMIT :limit""",
)
LOCK_SESSIONS = Statement(  # always in the same order, so that two processes cannot deadlock
    "schedule_lock_sessions",
    "SELECT session_id FROM sessions WHERE IN_LIST(session_id, :sessions) ORDER BY session_id LOCK_ROW",
)
DEADLINE = "deadline"
BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Moved:
    """The runs that upkeep moved.

    :param joined: runs that joined their session's queue, or returned to it, as they are now.
    :param stopped: runs that finished or have a cancel request; the engine notifies their attempts and subscribers.
    """

    joined: list[RunRow] = field(default_factory=list)
    stopped: list[StopResult] = field(default_factory=list)

    @property
    def ready(self) -> list[RunRow]:
        """The runs that were made ready, apart from those that an end has promoted."""
        return [run for run in self.joined if run.state is RunState.READY]


async def is_any_due(tx: Tx, now: float) -> bool:
    """Whether :func:`due` or :func:`expire_pending` have something to do. Reads only, without locks."""
    params = {"now": now, "limit": 1}
    return bool(await tx.all(DUE, params) or await tx.all(OVERDUE, params))


async def join_due(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """Let delayed runs that are due join the end of their session's queue, as new runs do."""
    moved = Moved()
    for run_id, session_id in await _lock_sessions_of(tx, await tx.all(DUE, {"now": now, "limit": limit})):
        session = SessionTx(tx, session_id)
        run = await _lock_run(session, run_id)
        if run.state is RunState.SCHEDULED:  # another process may have moved it before the lock
            await _join(session, run, now, moved)
    return moved


async def _join(tx: SessionTx, run: RunRow, now: float, moved: Moved) -> None:
    run.seq, run.queued_at, run.not_before = await sessions.take_seq(tx, run.session_id), now, None
    try:
        # It raises before it changes anything, so this transaction can go on and fail the run.
        head_id = await session_queue.place(tx, run, None)
    except Conflict as busy:
        moved.stopped.append(await run_failures.fail(tx, run, RunFailed(busy.message, BUSY, retryable=True), now))
        return
    params = {"run_id": run.run_id, "seq": run.seq, "holder": run.holder, "now": now}
    await tx.run(transitions.JOIN_QUEUE[run.state], params)
    run.version += 1
    # Stored before the interrupt: a head that ends at once promotes the next run in the queue.
    if head_id is not None and (cancelled := await cancels.interrupt(tx, head_id, run, now)):
        moved.stopped.append(cancelled)
    moved.joined.append(run)


async def expire_pending(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """Fail pending runs whose deadline has passed.

    Running runs watch their own deadline, and paused runs have an expiry.
    """
    moved = Moved()
    for run_id, session_id in await _lock_sessions_of(tx, await tx.all(OVERDUE, {"now": now, "limit": limit})):
        session = SessionTx(tx, session_id)
        run = await _lock_run(session, run_id)  # failing the run before it may have promoted this one
        if run.state in PENDING:
            error = LimitReached("The run's deadline passed while it waited.", DEADLINE)
            moved.stopped.append(await run_failures.fail(session, run, error, now))
    return moved


async def _lock_sessions_of(tx: Tx, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Lock the sessions of these runs, all in one statement and before any run; the ids of the runs and sessions.

    Runs whose session was deleted meanwhile are left out: their rows went with it.
    """
    if not rows:
        return []
    session_ids = jsontext.dumps(sorted({row["session_id"] for row in rows}))
    locked = {row["session_id"] for row in await tx.all(LOCK_SESSIONS, {"sessions": session_ids})}
    return [(row["run_id"], row["session_id"]) for row in rows if row["session_id"] in locked]


async def _lock_run(tx: SessionTx, run_id: str) -> RunRow:
    """Lock the run and return it as it is now."""
    run = await run_locks.lock_run(tx, run_id)
    if run is None:
        raise RuntimeError(f"run {run_id} went away while its session was held")
    return run
