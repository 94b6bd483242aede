"""Locks on a root run: first its session, then the run. All transactions that change a run from outside take them."""

from musterd.core.errors import NotFound
from musterd.core.records import RunRow
from musterd.store.database import Statement
from musterd.store.rows import RUN_COLUMNS, run_row
from musterd.store.shards import SessionTx

LOCK_SESSION = Statement(
    "run_locks_session",
    "SELECT deleted_at FROM sessions WHERE session_id = :session_id AND shard = :shard LOCK_ROW",
)
LOCK_RUN = Statement(
    "run_locks_run",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id AND shard = :shard AND session_id = :session_id LOCK_ROW",
)


async def lock(tx: SessionTx, root_id: str) -> RunRow | None:
    """Lock a session and a root run of it until the transaction ends, and return the run. None: no such run.

    Two statements: session before root is the lock order of all transactions, and LOCK_ROW on the root returns the row
    as it is after the wait for the session.
    """
    await tx.one(LOCK_SESSION, {"session_id": tx.session_id})
    return await lock_run(tx, root_id)


async def lock_unless_deleted(tx: SessionTx, root_id: str) -> RunRow | None:
    """Like :func:`lock`, but None if the session was deleted.

    Decisions, messages and forks use it: the session may have been deleted after the caller looked the run up.
    """
    session = await tx.one(LOCK_SESSION, {"session_id": tx.session_id})
    return None if session is None or session["deleted_at"] is not None else await lock_run(tx, root_id)


async def require_locked(tx: SessionTx, root_id: str) -> RunRow:
    """Like :func:`lock_unless_deleted`.

    :raises NotFound: there is no such run.
    """
    run = await lock_unless_deleted(tx, root_id)
    if run is None:
        raise NotFound("Run not found")
    return run


async def lock_run(tx: SessionTx, root_id: str) -> RunRow | None:
    """Lock a run whose session is locked, and return it as it is now; None: there is no such run."""
    row = await tx.one(LOCK_RUN, {"run_id": root_id, "session_id": tx.session_id})
    return None if row is None else run_row(row)
