"""Workers: their announcements and heartbeat counters, and the release of runs whose worker died or stops."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.core import jsontext
from musterd.core.records import AttemptOutcome, RunRow
from musterd.core.states import RunState
from musterd.store import cancels, run_attempts, run_failures, run_locks, transitions
from musterd.store import crashes as crashes_rule
from musterd.store.cancels import StopResult
from musterd.store.crashes import Crashes
from musterd.store.database import Statement, Tx
from musterd.store.rows import GET_RUN_BY_ID, RUN_COLUMNS, run_row
from musterd.store.shards import SessionTx

ADD = Statement(
    "worker_add",
    """INSERT INTO workers (id, components, host, pid, started_at, beaten_at, version, role)
       VALUES (:id, :components, :host, :pid, :now, :now, :version, :role) ON CONFLICT (id) DO NOTHING""",
)
# The condition on `worker` makes SQLite use the partial index of running roots.
ANNOUNCED = Statement(
    "workers_announced",
    """SELECT id, host, pid, started_at, version, role,
              (SELECT count(*) FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker = workers.id) AS runs
       FROM workers ORDER BY started_at, id""",
)
SERVE_NOTHING = Statement("worker_serve_nothing", "UPDATE workers SET components = '[]' WHERE id = :id")
REMOVE = Statement("worker_remove", "DELETE FROM workers WHERE id = :id")
ALL = Statement(
    "workers_all",
    """SELECT id, heartbeat FROM workers
       UNION ALL SELECT DISTINCT worker, CAST(NULL AS BIGINT) FROM runs WHERE state = 'running' AND parent_id IS NULL
                 AND worker IS NOT NULL AND worker NOT IN (SELECT id FROM workers)""",
)
SEEN = Statement(
    "worker_seen",
    """SELECT id, heartbeat,
              EXISTS (SELECT 1 FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker = :id) AS has_runs
       FROM workers""",
)
BEAT = Statement("worker_beat", "UPDATE workers SET heartbeat = heartbeat + 1, beaten_at = :now WHERE id = :id")
SERVED = Statement("workers_served", "SELECT components FROM workers")
WAITING = Statement(
    "components_waiting",
    """SELECT DISTINCT component_kind || ':' || component_id AS component FROM runs
       WHERE state = 'ready' AND cancel_requested_at IS NULL""",
)
# Always in the same order, so that two processes that release the same worker cannot deadlock.
LOCK_SESSIONS = Statement(
    "worker_lock_sessions",
    """SELECT session_id FROM sessions
       WHERE session_id IN (SELECT session_id FROM runs
                            WHERE state = 'running' AND parent_id IS NULL AND worker = :worker)
       ORDER BY session_id LOCK_ROW""",
)
LOCK_HEARTBEAT = Statement("worker_lock_heartbeat", "SELECT heartbeat FROM workers WHERE id = :id LOCK_ROW")
RUNNING = Statement(
    "worker_runs",
    f"""SELECT {RUN_COLUMNS}, crashes_in_all, (SELECT beaten_at FROM workers WHERE id = :worker) AS beaten_at FROM runs
        WHERE state = 'running' AND parent_id IS NULL AND worker = :worker LOCK_ROW""",
)
RUNNING_ATTEMPTS = Statement(
    "worker_running_attempts",
    "SELECT run_id, attempt FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker = :worker",
)
CRASHES = Statement("run_crashes", "SELECT crashes_in_all FROM runs WHERE run_id = :run_id AND shard = :shard")
COUNT_CRASH = Statement(
    "worker_count_crash",
    "UPDATE runs SET crashes = :crashes, crashes_in_all = :in_all WHERE run_id = :run_id AND shard = :shard",
)
ADD_INSTANCE = Statement(
    "instance_add",
    """INSERT INTO instance (id, created_at, oldest_writer) SELECT :id, :now, :oldest_writer
       WHERE NOT EXISTS (SELECT 1 FROM instance)""",
)
GET_INSTANCE = Statement("instance_get", "SELECT id FROM instance")
TURN = Statement("instance_turn", "SELECT TURN('instance') AS held")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcess:
    """The process of a worker, for people who look at it.

    :param version: the version of musterd that it runs.
    :param role: ``server``, ``worker`` or ``api``.
    """

    host: str
    pid: int
    started_at: float
    version: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class AnnouncedWorker:
    """A worker that is announced.

    :param runs: how many runs it drives.
    """

    id: str
    process: WorkerProcess
    runs: int


async def add(tx: Tx, worker: str, components: Sequence[str], process: WorkerProcess) -> None:
    """Announce a worker."""
    params = {
        "id": worker,
        "components": jsontext.dumps(list(components)),
        "host": process.host,
        "pid": process.pid,
        "now": process.started_at,
        "version": process.version,
        "role": process.role,
    }
    await tx.run(ADD, params)


async def serve_nothing(tx: Tx, worker: str) -> None:
    """Announce that a worker claims no more runs, and starts none that are due. It still drives those that it has."""
    await tx.run(SERVE_NOTHING, {"id": worker})


async def announced(tx: Tx) -> list[AnnouncedWorker]:
    """The announced workers, oldest first."""
    return [
        AnnouncedWorker(
            row["id"],
            WorkerProcess(
                host=row["host"],
                pid=row["pid"],
                started_at=row["started_at"],
                version=row["version"],
                role=row["role"],
            ),
            int(row["runs"]),
        )
        for row in await tx.all(ANNOUNCED, {})
    ]


async def instance(tx: Tx, new_id: str, oldest_writer: str, now: float) -> str:
    """The id of this database; created once, with the oldest revision whose programs may write it."""
    await tx.one(TURN, {})  # processes that start together run this one at a time, so that they agree on one id
    await tx.run(ADD_INSTANCE, {"id": new_id, "now": now, "oldest_writer": oldest_writer})
    row = await tx.one(GET_INSTANCE, {})
    if row is None:
        raise RuntimeError("the instance row was just written")
    return str(row["id"])


async def heartbeats(tx: Tx) -> dict[str, int | None]:
    """The heartbeat counters of all announced workers.

    Workers that hold runs without being announced are included, with None: their runs must be reassigned as well.
    """
    return {row["id"]: row["heartbeat"] for row in await tx.all(ALL, {})}


async def beat(tx: Tx, worker: str, now: float) -> dict[str, int]:
    """Advance a worker's counter, unless it is idle and the only worker.

    :return: the previous counters of all announced workers, without this worker if it is not announced.
    """
    rows = await tx.all(SEEN, {"id": worker})
    beats = {row["id"]: int(row["heartbeat"]) for row in rows}
    # No other process watches the counter of a worker that is alone. But if it dies with runs, the time of its last
    # beat says until when it drove them.
    is_idle = len(rows) == 1 and not rows[0]["has_runs"]
    if worker in beats and not is_idle and not await beat_always(tx, worker, now):
        del beats[worker]  # removed between the two statements
    return beats


async def beat_always(tx: Tx, worker: str, now: float) -> bool:
    """Advance a worker's counter in any case. False: the worker is no longer announced."""
    return await tx.run(BEAT, {"id": worker, "now": now}) > 0


async def running(tx: Tx, worker: str) -> set[tuple[str, int]]:
    """The ids of the root runs that are stored as running in a worker, with the numbers of their attempts."""
    return {(row["run_id"], row["attempt"]) for row in await tx.all(RUNNING_ATTEMPTS, {"worker": worker})}


async def running_run(tx: Tx, run_id: str, attempt: int) -> RunRow | None:
    """A root run, if it is running in this attempt."""
    row = await tx.one(GET_RUN_BY_ID, {"run_id": run_id})
    run = None if row is None else run_row(row)
    return run if run is not None and run.state is RunState.RUNNING and run.attempt == attempt else None


async def unserved(tx: Tx) -> list[str]:
    """The components that have ready runs but that no worker serves."""
    served: set[str] = set()
    for row in await tx.all(SERVED, {}):
        served.update(json.loads(row["components"]))
    return sorted({row["component"] for row in await tx.all(WAITING, {})} - served)


@dataclass(slots=True)
class Released:
    """The released runs of a worker that died or stops.

    :param ready: runs that wait for another worker.
    :param ended: runs that finished here, because of a stored cancel or of too many crashes.
    """

    ready: list[RunRow] = field(default_factory=list)
    ended: list[StopResult] = field(default_factory=list)


async def hand_over(tx: SessionTx, root_id: str, attempt: int, now: float, *, crashed: bool = False) -> Released:
    """Release a run that its attempt stopped driving: ready again, or cancelled if a cancel was stored meanwhile.

    :param crashed: whether the attempt could not finish the run. That counts as a crash, so that the run is not retried
        for ever.
    """
    released = Released()
    run = await run_locks.lock(tx, root_id)
    # The run may have been reassigned already; then another attempt drives it, and this one must not touch it.
    if run is not None and run.state is RunState.RUNNING and run.attempt == attempt:
        row = await tx.one(CRASHES, {"run_id": root_id})
        before = Crashes(run.crashes, 0 if row is None else int(row["crashes_in_all"]))
        outcome = AttemptOutcome.END_NOT_STORED if crashed else AttemptOutcome.HANDED_OVER
        await run_attempts.end(tx, root_id, attempt, now, outcome)
        await _release(tx, run, before, before.one_more(has_begun=True) if crashed else None, now, released)
    return released


async def release_runs(tx: Tx, worker: str, now: float, *, crashed: bool) -> Released:
    """Release all runs of a worker that died (``crashed``) or stops, and remove its announcement.

    All in one transaction: if this process dies in the middle, the worker is still announced with all its runs, and
    another process releases them.
    """
    await tx.all(LOCK_SESSIONS, {"worker": worker})
    return await _release_locked(tx, worker, now, crashed=crashed)


async def release_silent(tx: Tx, worker: str, heartbeat: int | None, now: float) -> Released | None:
    """Release all runs of a worker that seems to be dead, and remove its announcement.

    :param heartbeat: its counter when it was last seen, or None if it was not announced.
    :return: None if the worker has stored a heartbeat since then, so it lives and nothing was released.
    """
    await tx.all(LOCK_SESSIONS, {"worker": worker})
    # After the wait for the sessions, in which the worker may have beaten. Locked, so that it does not beat from here
    # on.
    row = await tx.one(LOCK_HEARTBEAT, {"id": worker})
    if (None if row is None else row["heartbeat"]) != heartbeat:
        return None
    return await _release_locked(tx, worker, now, crashed=True)


async def _release_locked(tx: Tx, worker: str, now: float, *, crashed: bool) -> Released:
    released = Released()
    # Sessions first, then runs. RUNNING is read after the wait for the sessions, so it leaves out runs that another
    # process has released meanwhile, and no crash is counted twice.
    for row in await tx.all(RUNNING, {"worker": worker}):
        run = run_row(row)
        session = SessionTx(tx, run.session_id)
        before = Crashes(run.crashes, int(row["crashes_in_all"]))
        has_begun = run.not_before != crashes_rule.NOTHING_STORED
        if crashed:
            await run_attempts.end_lost(session, run, row["beaten_at"])
        else:
            await run_attempts.end(session, run.run_id, run.attempt, now, AttemptOutcome.HANDED_OVER)
        await _release(session, run, before, before.one_more(has_begun=has_begun) if crashed else None, now, released)
    await tx.run(REMOVE, {"id": worker})
    return released


async def _release(
    tx: SessionTx, run: RunRow, before: Crashes, after_crash: Crashes | None, now: float, released: Released
) -> None:
    """Make a locked run ready again, or finish it if a cancel is stored or if it crashed too often.

    A run that is ready again stays the head of its queue. Every further write of the old attempt fails at the fence:
    the run is not running now, and the next claim takes a new attempt number.

    :param before: its crashes so far.
    :param after_crash: its crashes including this one, or None if it did not crash.
    """
    crashes = after_crash or before
    params: dict[str, Any] = {"run_id": run.run_id, "crashes": crashes.without_step, "in_all": crashes.in_all}
    if run.cancel_requested_at is not None:
        released.ended.append(await cancels.finish(tx, run, run.cancel_by or "", now))
    elif after_crash is not None and after_crash.is_given_up:
        await tx.run(COUNT_CRASH, params)
        error = await crashes_rule.failure(tx, run.run_id, after_crash)
        released.ended.append(await run_failures.fail(tx, run, error, now))
    else:
        wait = 0.0 if after_crash is None else after_crash.wait_seconds
        await tx.run(
            transitions.RELEASE, {**params, "attempt": run.attempt, "not_before": now + wait if wait else None}
        )
        released.ready.append(run)
