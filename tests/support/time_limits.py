"""Time limits that are over when a test says so: a short one may be over before the test is where it wants to be."""

import asyncio
from typing import Any

import pytest

from musterd.engine import attempt_execution
from musterd.engine.time_limit import TimeLimit
from musterd.loop import functions, task_abandonment
from musterd.loop.budget import Spending


class RunTimes:
    """The time limits of the attempts that begin from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._limits: list[TimeLimit] = []
        monkeypatch.setattr(attempt_execution, "TimeLimit", self._remembered)

    def end(self) -> None:
        """Have the time of the last attempt be over."""
        self._limits[-1].timeout.reschedule(asyncio.get_running_loop().time())

    def _remembered(self, run_seconds: float, deadline_at: float | None) -> TimeLimit:
        self._limits.append(TimeLimit(run_seconds, deadline_at))
        return self._limits[-1]


class CallTimes:
    """The time limits of the tries of tools that begin from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._limits: list[asyncio.Timeout] = []
        run_within = task_abandonment.run_within

        async def remembered(limit: asyncio.Timeout, *args: Any, **about: Any) -> Any:
            self._limits.append(limit)
            return await run_within(limit, *args, **about)

        monkeypatch.setattr(functions, "run_within", remembered)

    def end(self) -> None:
        """Have the time of the last try be over."""
        self._limits[-1].reschedule(asyncio.get_running_loop().time())


class MemberTimes:
    """The time limits of the members with a budget of seconds that begin from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._limits: list[asyncio.Timeout] = []
        time_limit = Spending.time_limit

        def remembered(spending: Spending) -> asyncio.Timeout:
            self._limits.append(time_limit(spending))
            return self._limits[-1]

        monkeypatch.setattr(Spending, "time_limit", remembered)

    def end(self) -> None:
        """Have the time of the last member be over."""
        self._limits[-1].reschedule(asyncio.get_running_loop().time())
