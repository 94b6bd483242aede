"""Long bodies leave half of the event loop's time to other tasks."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.http.request_bodies import FREE_BYTES, BodyLimits

PIECE = b"x" * FREE_BYTES


class Pauses:
    """A clock that advances with the work on pieces and with pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self._now = 0.0
        monkeypatch.setattr(clock, "monotonic", lambda: self._now)
        monkeypatch.setattr(clock, "sleep", self._sleep)

    def work(self, seconds: float) -> None:
        self._now += seconds

    async def _sleep(self, seconds: float) -> None:
        self.seconds.append(round(seconds, 3))
        self._now += seconds


async def upload(limits: BodyLimits, pieces: int) -> None:
    left = iter(range(pieces - 1, -1, -1))

    async def receive() -> Message:
        return {"type": "http.request", "body": PIECE, "more_body": next(left) > 0}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await limits({"type": "http", "method": "POST", "headers": []}, receive, send)


async def test_each_piece_of_a_long_body_is_followed_by_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses(monkeypatch)
    nested = 1

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal nested
        count = 0
        while (await receive())["more_body"]:
            pauses.work(0.002)
            count += 1
            if count == 3 and nested:  # another one is read meanwhile
                nested -= 1
                await upload(limits, 3)

    limits = BodyLimits(read, Settings())
    await upload(limits, 5)
    # A body is long after its second piece. For a while there are two, and one pause counts for both.
    assert pauses.seconds == [0.002, 0.004, 0.01, 0.002]
    pauses.seconds.clear()
    await upload(limits, 1)
    assert pauses.seconds == []


async def test_a_pause_is_short_even_if_a_piece_waited_for_something(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses(monkeypatch)

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pauses.work(5)

    await upload(BodyLimits(read, Settings()), 3)
    assert pauses.seconds == [0.1]
