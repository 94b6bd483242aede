"""Whether a run is to be cancelled when nobody reads along with it any more: known to every process."""

from musterd.core.records import RunRow
from musterd.store import cancels
from musterd.store.cancels import Cancelled
from musterd.store.database import Statement, Tx

LET_GO = Statement(
    "company_let_go",
    "UPDATE runs SET cancel_on_disconnect = 0 WHERE run_id = :run_id AND cancel_on_disconnect = 1",
)


async def let_go(tx: Tx, root_id: str) -> None:
    """Let the run go on alone from now on: who reads it does so where its start was not seen."""
    await tx.run(LET_GO, {"run_id": root_id})


async def cancel_abandoned(tx: Tx, root_id: str, by: str, now: float) -> Cancelled | None:
    """Cancel a run that its readers left, unless it was let go, paused or ended meanwhile. None: nothing was done."""
    run: RunRow | None = await cancels.lock(tx, root_id)
    if run is None or run.state.is_final or not run.cancel_on_disconnect:
        return None
    return await cancels.request(tx, root_id, by, now)
