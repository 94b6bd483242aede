"""Waits for the database on behalf of a run. A run that gave up would have to make its last steps again."""

from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable

log = structlog.get_logger("musterd.engine")

T = TypeVar("T")
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


async def until_available(use: Callable[[], Awaitable[T]], root_id: str) -> T:
    """Use the database on behalf of a run, and retry while the database is unavailable."""
    for wait in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
        try:
            return await use()
        except StoreUnavailable:
            log.warning("waiting for the database", run_id=root_id, seconds=wait)
            await clock.sleep(wait)
    raise AssertionError("unreachable")
