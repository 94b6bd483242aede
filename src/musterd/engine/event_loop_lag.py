"""Event loop lag: how late the event loop wakes up. Blocking code delays every run and every subscriber."""

from musterd.core import clock
from musterd.core.metrics import Metrics

PERIOD_SECONDS = 1.0


class EventLoopLag:
    """Measures the lag once a second until it is cancelled.

    ``last_seconds`` is the last measured lag.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.last_seconds = 0.0

    async def repeat(self) -> None:
        """Measure again and again."""
        while True:
            slept_at = clock.monotonic()
            await clock.sleep(PERIOD_SECONDS)
            self.last_seconds = max(clock.monotonic() - slept_at - PERIOD_SECONDS, 0.0)
            self._metrics.loop_lag_seconds.observe(self.last_seconds)
