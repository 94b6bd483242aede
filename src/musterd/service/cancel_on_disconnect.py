"""Cancels a run after its last subscriber has disconnected."""

from collections.abc import Callable
from functools import partial

import structlog

from musterd.core import clock
from musterd.engine.database_retry import until_available
from musterd.engine.resources import Resources
from musterd.store import disconnect
from musterd.store.cancels import StopResult

log = structlog.get_logger("musterd.service")

DISCONNECTED = "disconnect"


class CancelOnDisconnect:
    """Cancels abandoned runs.

    :param announce: informs the worker of a stored cancel.
    """

    def __init__(self, resources: Resources, announce: Callable[[StopResult], object]) -> None:
        self._database = resources.database
        self._announce = announce

    async def cancel(self, root_id: str) -> None:
        """Cancel the run, unless a subscriber on another process keeps it alive."""
        work = partial(disconnect.cancel_abandoned, root_id=root_id, by=DISCONNECTED, now=clock.now())
        # An outage of the database often breaks the connections of clients too, so the two come together.
        cancelled = await until_available(lambda: self._database.write(work), root_id)
        if cancelled is not None:
            log.info("run cancelled because all its subscribers disconnected", run_id=root_id)
            self._announce(cancelled)
