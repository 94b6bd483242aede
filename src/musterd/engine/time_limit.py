"""The time limit of an attempt."""

import asyncio

from musterd.core import clock
from musterd.core.errors import LimitReached
from musterd.loop.budget import Spending


class TimeLimit:
    """How long an attempt may work.

    ``timeout`` is the context manager that ends the wait for the loop.

    :param run_seconds: the limit of every attempt.
    :param deadline_at: the time at which the run has to end; it counts if it comes sooner.
    """

    __slots__ = ("_budget", "_is_deadline", "_seconds", "timeout")

    def __init__(self, run_seconds: float, deadline_at: float | None) -> None:
        seconds_left = run_seconds if deadline_at is None else max(deadline_at - clock.now(), 0.0)
        self._is_deadline = seconds_left < run_seconds
        self._seconds = min(seconds_left, run_seconds)
        self._budget: Spending | None = None
        self.timeout = asyncio.timeout(self._seconds)

    def shorten(self, budget: Spending) -> None:
        """End when the time of the budget is over, if that is sooner."""
        if (seconds_left := budget.seconds_left) is None:
            return
        ends_at, timeout_at = asyncio.get_running_loop().time() + seconds_left, self.timeout.when()
        if timeout_at is None or ends_at < timeout_at:
            self.timeout.reschedule(ends_at)
            self._budget = budget

    def error(self) -> LimitReached:
        """The error that ends a run which takes longer."""
        if self._budget is not None:
            return self._budget.out_of_time()
        if self._is_deadline:
            return LimitReached("The run's deadline was reached.", "deadline")
        return LimitReached(f"The run's time limit of {self._seconds:g} s was reached.", "time_limit")
