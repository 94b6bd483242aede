"""Times that upkeep looks after: delayed runs join their line when due, pending ones end at their deadline."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.errors import Conflict, LimitReached, RunFailed
from musterd.core.records import RunRow
from musterd.core.states import PENDING, RunState
from musterd.store import cancels, finish, session_queue, sessions
from musterd.store.cancels import Cancelled
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import run_row

LIMIT = 100

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
LOCK_SESSIONS = Statement(  # in one order, so that no two wait in a ring
    "schedule_lock_sessions",
    "SELECT session_id FROM sessions WHERE IN_LIST(session_id, :sessions) ORDER BY session_id LOCK_ROW",
)
JOIN = Statement(
    "lane_join",
    """UPDATE runs SET state = :state, seq = :seq, holder = :holder, queued_at = :now, not_before = NULL,
                       version = version + 1
       WHERE run_id = :run_id AND state = 'scheduled'""",
)
DEADLINE = "deadline"
BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Moved:
    """What upkeep moved.

    :param joined: runs that joined their line, or came back to it, as they stand now.
    :param told: what the engine must tell of other runs: ended, or to be cancelled.
    """

    joined: list[RunRow] = field(default_factory=list)
    told: list[Cancelled] = field(default_factory=list)

    @property
    def has_ready(self) -> bool:
        """Whether a worker may find a run to claim."""
        return any(run.state is RunState.READY for run in self.joined) or any(done.promoted for done in self.told)


async def is_any_due(tx: Tx, now: float) -> bool:
    """Whether :func:`due` or :func:`expire_pending` have something to do: a look, without a lock."""
    params = {"now": now, "limit": 1}
    return bool(await tx.all(DUE, params) or await tx.all(OVERDUE, params))


async def due(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """Have delayed runs that are due join their session's line, at its end, as new runs do."""
    moved = Moved()
    for run_id in await _held(tx, await tx.all(DUE, {"now": now, "limit": limit})):
        run = await _now(tx, run_id)
        if run.state is RunState.SCHEDULED:
            await _join(tx, run, now, moved)
    return moved


async def _join(tx: Tx, run: RunRow, now: float, moved: Moved) -> None:
    run.seq, run.queued_at, run.not_before = await sessions.take_seq(tx, run.session_id), now, None
    try:
        at_work = await session_queue.place(tx, run, None)
    except Conflict as busy:
        moved.told.append(await finish.fail(tx, run, RunFailed(busy.message, BUSY, retryable=True), now))
        return
    params = {"run_id": run.run_id, "state": run.state.value, "seq": run.seq, "holder": run.holder, "now": now}
    await tx.run(JOIN, params)
    run.version += 1
    if at_work is not None and (done := await session_queue.interrupt(tx, at_work, run, now)):
        moved.told.append(done)
    moved.joined.append(run)


async def expire_pending(tx: Tx, now: float, limit: int = LIMIT) -> Moved:
    """End pending runs whose deadline has passed; a running one ends itself, a paused one waits for its person."""
    moved = Moved()
    for run_id in await _held(tx, await tx.all(OVERDUE, {"now": now, "limit": limit})):
        run = await _now(tx, run_id)  # ending the one before may have moved it
        if run.state in PENDING:
            why = LimitReached("The run's deadline passed while it waited.", DEADLINE)
            moved.told.append(await finish.fail(tx, run, why, now))
    return moved


async def _held(tx: Tx, found: Sequence[Row]) -> list[str]:
    """The ids of the runs whose sessions are held now; a session that is gone took its runs with it."""
    if not found:
        return []
    wanted = jsontext.dumps(sorted({row["session_id"] for row in found}))
    held = {row["session_id"] for row in await tx.all(LOCK_SESSIONS, {"sessions": wanted})}
    return [row["run_id"] for row in found if row["session_id"] in held]


async def _now(tx: Tx, run_id: str) -> RunRow:
    """The run, held, as it is now."""
    row = await tx.one(cancels.GET, {"run_id": run_id})
    if row is None:
        raise RuntimeError(f"run {run_id} went away while its session was held")
    return run_row(row)
