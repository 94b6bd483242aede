"""Cancelling a run that all its readers left."""

from collections.abc import Callable
from functools import partial

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.engine.resources import Resources
from musterd.store import disconnect
from musterd.store.cancels import Cancelled

log = structlog.get_logger("musterd.service")

DISCONNECTED = "disconnect"


class CancelOnDisconnect:
    """What is done about a run that was abandoned.

    :param tell: tells the engine of a stored cancel.
    """

    def __init__(self, resources: Resources, tell: Callable[[Cancelled], object]) -> None:
        self._database = resources.database
        self._tell = tell

    async def cancel(self, root_id: str) -> None:
        """Cancel the run, unless somebody reads it on another process."""
        work = partial(disconnect.cancel_abandoned, root_id=root_id, by=DISCONNECTED, now=clock.now())
        try:
            done = await self._database.write(work)
        except StoreUnavailable:
            log.warning("an abandoned run could not be cancelled; it goes on", run_id=root_id)
            return
        if done is not None:
            log.info("run abandoned by its readers", run_id=root_id)
            self._tell(done)
