"""A clock of the event loop that a test puts forward: time limits end when the test says so, and not before."""

import asyncio
from typing import TYPE_CHECKING

from musterd.core import clock

if TYPE_CHECKING:
    import pytest


class LoopClock:
    """The clock of the running event loop. It goes on as ever, and the test puts it forward.

    A time limit of a minute, put forward by more than that, ends at once. On a machine that stands still for some
    seconds it does not end before.
    """

    def __init__(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        self._ahead = 0.0
        loop = asyncio.get_running_loop()
        loop_time, monotonic = loop.time, clock.monotonic
        monkeypatch.setattr(loop, "time", lambda: loop_time() + self._ahead)
        monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + self._ahead)

    def put_forward(self, seconds: float) -> None:
        """Make it later; timers that are due fire when the loop goes around the next time."""
        self._ahead += seconds
