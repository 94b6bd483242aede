"""Workers: who drives runs, and the runs of those that are gone."""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.store import cancels
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS, run_row

ADD = Statement(
    "worker_add",
    """INSERT INTO workers (id, components, host, pid, started_at)
       VALUES (:id, :components, :host, :pid, :now)""",
)
REMOVE = Statement("worker_remove", "DELETE FROM workers WHERE id = :id")
ALL = Statement(
    "workers_all",
    """SELECT id FROM workers
       UNION SELECT worker FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker IS NOT NULL""",
)
LOCK_SESSIONS = Statement(  # in one order, so that two that take over the same worker do not wait in a ring
    "worker_lock_sessions",
    """SELECT session_id FROM sessions
       WHERE session_id IN (SELECT session_id FROM runs
                            WHERE state = 'running' AND parent_id IS NULL AND worker = :worker)
       ORDER BY session_id LOCK_ROW""",
)
RUNNING = Statement(
    "worker_runs",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker = :worker LOCK_ROW",
)
RELEASE = Statement(
    "worker_release",
    """UPDATE runs SET state = 'ready', worker = NULL, version = version + 1,
                       crashes = crashes + :crash, crashes_in_all = crashes_in_all + :crash
       WHERE run_id = :run_id AND attempt = :attempt AND state = 'running'""",
)
ADD_INSTANCE = Statement(
    "instance_add",
    """INSERT INTO instance (id, created_at, oldest_writer) SELECT :id, :now, :version
       WHERE NOT EXISTS (SELECT 1 FROM instance)""",
)
GET_INSTANCE = Statement("instance_get", "SELECT id FROM instance")
TURN = Statement("instance_turn", "SELECT TURN('instance') AS held")


async def add(tx: Tx, worker: str, components: Sequence[str], host: str, pid: int, now: float) -> None:
    """Announce a worker."""
    await tx.run(
        ADD,
        {"id": worker, "components": jsontext.dumps(list(components)), "host": host, "pid": pid, "now": now},
    )


async def instance(tx: Tx, new_id: str, version: str, now: float) -> str:
    """The id of this set of records; made once."""
    await tx.one(TURN, {})  # processes that start together agree on one
    await tx.run(ADD_INSTANCE, {"id": new_id, "now": now, "version": version})
    row = await tx.one(GET_INSTANCE, {})
    if row is None:
        raise RuntimeError("the instance row was just written")
    return str(row["id"])


async def known(tx: Tx) -> list[str]:
    """The workers that have announced themselves and not left, and whoever holds a run."""
    return [row["id"] for row in await tx.all(ALL, {})]


async def release_runs(tx: Tx, worker: str, now: float, *, crashed: bool) -> tuple[list[RunRow], list[str]]:
    """Hand over the runs of a worker that is gone, or going: ready again, or cancelled where that was asked.

    :return: the runs that are ready again, and the ids of runs promoted behind cancelled ones.
    """
    ready: list[RunRow] = []
    promoted: list[str] = []
    await tx.all(LOCK_SESSIONS, {"worker": worker})
    for row in await tx.all(RUNNING, {"worker": worker}):
        run = run_row(row)
        if run.cancel_requested_at is not None:
            await cancels.lock(tx, run.run_id)
            done = await cancels.end(tx, run, run.cancel_by or "", now)
            if done.promoted is not None:
                promoted.append(done.promoted)
            continue
        await tx.run(RELEASE, {"run_id": run.run_id, "attempt": run.attempt, "crash": int(crashed)})
        ready.append(run)
    await tx.run(REMOVE, {"id": worker})
    return ready, promoted
