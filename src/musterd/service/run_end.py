"""The wait for a run to end: of polls, cancels and requests that answer with the run's output."""

from musterd.core import clock
from musterd.core.records import RunRow
from musterd.engine.broadcaster import EndWaiter
from musterd.engine.resources import Resources
from musterd.store import runs
from musterd.store.shards import SessionTx


async def until_settled(resources: Resources, run: RunRow, seconds: float, *, takes_pause: bool = True) -> None:
    """Wait until a run has ended, paused or been deleted, until its root has, or until ``seconds`` have passed.

    :param takes_pause: False: a pause of the run itself is no end.
    """
    ends_at = clock.monotonic() + seconds
    # Wakes only say that the run may have ended; its row decides. The waiter listens before the row is read for the
    # first time, because the run may end in between.
    waiter = EndWaiter(resources.broadcaster, run.root_id, run.run_id)
    try:
        while (left := ends_at - clock.monotonic()) > 0 and not waiter.is_over:
            state = await resources.database.read(lambda tx: runs.state_of(SessionTx(tx, run.session_id), run.run_id))
            if state is None or state.is_final or (takes_pause and state.is_settled):
                return
            await waiter.wait(left)
    finally:
        waiter.close()
