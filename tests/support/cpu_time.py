"""How much processor time a part of a test may take.

What a busy machine does meanwhile does not count. The garbage collector rests, because it would look at what other
tests have left. Import what the measured part uses before it.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from musterd.core import clock


@contextmanager
def cpu_at_most(seconds: float) -> Iterator[None]:
    """Fail if the block takes more processor time of this thread."""
    with _collector_at_rest():
        began_at = time.thread_time()
        yield
        assert time.thread_time() - began_at < seconds


@asynccontextmanager
async def turns_of_at_most(seconds: float) -> AsyncIterator[None]:
    """Fail if the event loop's thread computes for more than this between two turns of another task."""
    longest = 0.0

    async def take_turns() -> None:
        nonlocal longest
        while True:
            began_at = time.thread_time()
            await clock.yield_to_others()
            longest = max(longest, time.thread_time() - began_at)

    with _collector_at_rest():
        other = asyncio.create_task(take_turns())
        await clock.yield_to_others()
        yield
        await clock.yield_to_others()
        other.cancel()
        with suppress(asyncio.CancelledError):
            await other
    assert longest < seconds, "other tasks had to wait"


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
