"""A bell that wakes one task which waits for any of several things."""

import asyncio


class Wakeup:
    """Wakes the task that waits for it. Ringing while no task waits has no effect."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits and was not woken yet."""
        return self._waiter is not None and not self._waiter.done()

    def ring(self) -> None:
        """Wake the waiting task."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, or until ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self.ring)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
