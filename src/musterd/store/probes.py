"""Read-only checks for upkeep and for watching other processes: is there anything to do? They take no locks.

Whatever they report may have changed when the caller acts on it, so every action checks again under its lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.states import RunState
from musterd.store import delays, session_deletion, user_limits, workers
from musterd.store.crashes import HAS_WAITED, SUSPECT_FROM
from musterd.store.database import Statement, Tx

RUNS = Statement(
    "look_runs",
    """SELECT run_id, attempt, state, cancel_requested_at, signals, next_event, salt FROM runs
       WHERE IN_LIST(run_id, :run_ids)""",
)
ANY_READY = Statement(
    "look_any_ready",
    f"SELECT 1 AS found FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL AND {HAS_WAITED} LIMIT 1",
)
READY = Statement(
    "look_ready",
    f"""SELECT 1 AS found FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL
        AND IN_LIST(component_kind || ':' || component_id, :components)
        AND {HAS_WAITED} AND crashes < {SUSPECT_FROM} LIMIT 1""",
)
READY_SUSPECT = Statement(  # not if other workers already drive as many runs as its user may have
    "look_ready_suspect",
    f"""SELECT 1 AS found FROM runs WHERE state = 'ready' AND cancel_requested_at IS NULL
        AND IN_LIST(component_kind || ':' || component_id, :components)
        AND {HAS_WAITED} AND crashes >= {SUSPECT_FROM}
        AND (CAST(:max_per_owner AS INTEGER) = 0 OR owner IS NULL OR :max_per_owner > (
          SELECT count(*) FROM runs own WHERE own.owner = runs.owner AND {user_limits.LIVES} AND own.state = 'running'
          AND own.worker IS NOT NULL AND own.worker <> :worker))
        LIMIT 1""",
)
SESSIONS = Statement(
    "look_sessions",
    "SELECT session_id, next_seq, created_at, deleted_at FROM sessions WHERE IN_LIST(session_id, :session_ids)",
)
EXPIRED = Statement(
    "look_expired",
    "SELECT 1 AS found FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :now LIMIT 1",
)


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The parts of a run's row that its worker and its subscribers watch.

    :param next_event: the index of its next event; while it does not move there are no new events to read.
    :param salt: distinguishes the run from a later one with the same id, after it was deleted.
    """

    attempt: int
    state: RunState
    is_to_be_cancelled: bool
    signals: int = 0
    next_event: int = 0
    salt: str | None = None


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """The part of a session's row that changes with each new run, and with a deletion."""

    next_seq: int
    created_at: float
    is_deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The work that upkeep finds.

    :param beats: the heartbeat counters of the workers that are announced or hold runs.
    :param is_any_ready: whether any run is ready, of any component.
    :param has_due_or_overdue: whether a delayed run is due, or a pending run is past its deadline.
    :param has_expired: whether a paused run has expired.
    :param to_cancel: deleted sessions with runs that have not been cancelled yet.
    """

    beats: dict[str, int | None]
    is_any_ready: bool
    has_due_or_overdue: bool
    has_expired: bool
    to_cancel: list[str]


async def due(tx: Tx, now: float) -> Due:
    """The work that is due now."""
    return Due(
        beats=await workers.heartbeats(tx),
        is_any_ready=await tx.one(ANY_READY, {"now": now}) is not None,
        has_due_or_overdue=await delays.is_any_due(tx, now),
        has_expired=await tx.one(EXPIRED, {"now": now}) is not None,
        to_cancel=await session_deletion.to_cancel(tx, now),
    )


async def is_ready(tx: Tx, components: Sequence[str], now: float) -> bool:
    """Whether a ready run of these components waits that is not a suspect."""
    if not components:
        return False
    return await tx.one(READY, {"components": jsontext.dumps(list(components)), "now": now}) is not None


async def is_suspect_ready(tx: Tx, components: Sequence[str], now: float, worker: str, max_per_owner: int = 0) -> bool:
    """Whether a suspect of these components is ready that this worker may drive.

    :param max_per_owner: the maximum number of running runs of one user; 0 means no limit.
    """
    if not components:
        return False
    params = {"components": jsontext.dumps(list(components)), "now": now}
    share = {"worker": worker, "max_per_owner": max_per_owner}
    return await tx.one(READY_SUSPECT, {**params, **share}) is not None


async def snapshots(tx: Tx, run_ids: Iterable[str]) -> dict[str, RunSnapshot]:
    """Snapshots of runs by id; runs that were deleted are left out."""
    rows = await tx.all(RUNS, {"run_ids": jsontext.dumps(list(run_ids))})
    return {
        row["run_id"]: RunSnapshot(
            row["attempt"],
            RunState(row["state"]),
            row["cancel_requested_at"] is not None,
            row["signals"],
            row["next_event"],
            row["salt"],
        )
        for row in rows
    }


async def session_snapshots(tx: Tx, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
    """Snapshots of sessions by id, without removed sessions."""
    rows = await tx.all(SESSIONS, {"session_ids": jsontext.dumps(list(session_ids))})
    return {
        row["session_id"]: SessionSnapshot(row["next_seq"], row["created_at"], row["deleted_at"] is not None)
        for row in rows
    }
