"""The time limit of an attempt."""

import asyncio

from musterd.core import clock
from musterd.core.errors import LimitReached
from musterd.loop.budget import Spending


class TimeLimit:
    """How long an attempt may work.

    ``timeout`` is the context manager that ends the wait for the loop; ``error`` ends a run that takes longer.

    :param run_seconds: the limit of every attempt.
    :param deadline_at: the time at which the run has to end; it counts if it comes sooner.
    """

    __slots__ = ("error", "timeout")

    def __init__(self, run_seconds: float, deadline_at: float | None) -> None:
        seconds = run_seconds if deadline_at is None else max(deadline_at - clock.now(), 0.0)
        if seconds < run_seconds:
            self.error = LimitReached("The run's deadline was reached.", "deadline")
        else:
            seconds = run_seconds
            self.error = LimitReached(f"The run's time limit of {seconds:g} s was reached.", "time_limit")
        self.timeout = asyncio.timeout(seconds)

    def shorten(self, budget: Spending) -> None:
        """End when the time of the budget is over, if that is sooner."""
        if (seconds_left := budget.seconds_left) is None:
            return
        ends_at, timeout_at = asyncio.get_running_loop().time() + seconds_left, self.timeout.when()
        if timeout_at is None or ends_at < timeout_at:
            self.timeout.reschedule(ends_at)
            self.error = budget.out_of_time()
