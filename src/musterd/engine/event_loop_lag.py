"""Lag: how late this process's event loop wakes up. What blocks it holds up every run and every reader."""

from musterd.core import clock
from musterd.core.metrics import Metrics

PERIOD_SECONDS = 1.0


class EventLoopLag:
    """Notes the loop's lag, once a second, until it is cancelled.

    ``last_seconds`` is how late it was the last time.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.last_seconds = 0.0

    async def repeat(self) -> None:
        """Sleep and look at the clock, again and again."""
        while True:
            asked = clock.monotonic()
            await clock.sleep(PERIOD_SECONDS)
            self.last_seconds = max(clock.monotonic() - asked - PERIOD_SECONDS, 0.0)
            self._metrics.loop_lag_seconds.observe(self.last_seconds)
