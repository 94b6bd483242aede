"""A bell: wakes one who waits for any of several things."""

import asyncio


class Wakeup:
    """Rung by whatever has something to tell; heard by the one who waits."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_heard(self) -> bool:
        """Whether somebody waits, and was not woken yet."""
        return self._waiter is not None and not self._waiter.done()

    def ring(self) -> None:
        """Wake who waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, or until ``seconds`` are over."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self.ring)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
