"""Cancelling a run after its last subscriber has disconnected. The flag is a column, so that every process knows it."""

from musterd.core.records import RunRow
from musterd.store import cancels, run_locks, runs
from musterd.store.cancels import StopResult
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

LET_GO = Statement(
    "company_let_go",
    """UPDATE runs SET cancel_on_disconnect = 0
       WHERE run_id = :run_id AND shard = :shard AND cancel_on_disconnect = 1""",
)


async def keep_running(tx: SessionTx, root_id: str) -> None:
    """Stop cancel-on-disconnect: a subscriber attached in a process other than the one that would cancel the run."""
    await tx.run(LET_GO, {"run_id": root_id})


async def cancel_abandoned(tx: Tx, root_id: str, by: str, now: float) -> StopResult | None:
    """Cancel a run without subscribers, unless another process got one meanwhile, or it paused or finished.

    None: nothing was done.
    """
    session_id = await runs.session_of(tx, root_id)
    if session_id is None:
        return None
    tx = SessionTx(tx, session_id)
    # Under the lock, because `keep_running` may commit in another process until this moment. A pause clears the flag as
    # well.
    run: RunRow | None = await run_locks.lock(tx, root_id)
    if run is None or run.state.is_final or not run.cancel_on_disconnect:
        return None
    return await cancels.request(tx, root_id, by, now)
