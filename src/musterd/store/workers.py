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
RUNNING = Statement(
    "worker_runs",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker = :worker",
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


async def add(tx: Tx, worker: str, components: Sequence[str], host: str, pid: int, now: float) -> None:
    """Announce a worker."""
    await tx.run(
        ADD,
        {"id": worker, "components": jsontext.dumps(list(components)), "host": host, "pid": pid, "now": now},
    )


async def instance(tx: Tx, new_id: str, version: str, now: float) -> str:
    """The id of this set of records; made once."""
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
    for row in await tx.all(RUNNING, {"worker": worker}):
        run = run_row(row)
        if run.cancel_requested_at is not None:
            done = await cancels.end(tx, run, run.cancel_by or "", now)
            if done.promoted is not None:
                promoted.append(done.promoted)
            continue
        await tx.run(RELEASE, {"run_id": run.run_id, "attempt": run.attempt, "crash": int(crashed)})
        ready.append(run)
    await tx.run(REMOVE, {"id": worker})
    return ready, promoted
