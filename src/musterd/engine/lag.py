"""Lag: how late this process's event loop wakes up. What blocks it holds up every run and every reader."""

from musterd.core import clock
from musterd.core.figures import Figures

PERIOD_SECONDS = 1.0


class Lag:
    """Notes the loop's lag, once a second, until it is cancelled.

    ``last_seconds`` is how late it was the last time.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self.last_seconds = 0.0

    async def repeat(self) -> None:
        """Sleep and look at the clock, again and again."""
        while True:
            asked = clock.monotonic()
            await clock.sleep(PERIOD_SECONDS)
            self.last_seconds = max(clock.monotonic() - asked - PERIOD_SECONDS, 0.0)
            self._figures.loop_lag_seconds.observe(self.last_seconds)
