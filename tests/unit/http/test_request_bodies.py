"""Long bodies leave half of the event loop's time to other tasks."""

import asyncio
import heapq
import itertools

import pytest
from starlette.types import Message, Receive, Scope, Send

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.http.request_bodies import FREE_BYTES, BodyLimits

PIECE = b"x" * FREE_BYTES


class Uploads:
    """Uploads at the same time, on a clock that advances with the work on pieces and with pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, piece_seconds: float) -> None:
        self.seconds = 0.0
        self._piece_seconds = piece_seconds
        self._limits = BodyLimits(self._read, Settings())
        self._pauses: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._ended = 0
        self._rests = asyncio.Event()
        monkeypatch.setattr(clock, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(clock, "sleep", self._sleep)

    async def finish(self, count: int, *, pieces: int, stalled: int = 0) -> None:
        """Finish ``count`` uploads, while others wait for their clients after two pieces."""
        waiting = [asyncio.create_task(self._upload(3, is_stalled=True)) for _ in range(stalled)]
        uploads = [asyncio.create_task(self._upload(pieces)) for _ in range(count)]
        while self._ended < count + stalled:
            await self._rests.wait()
            self._rests.clear()
            if self._pauses and self._ended + len(self._pauses) == count + stalled:
                ends_at, _, pause = heapq.heappop(self._pauses)
                self.seconds = max(self.seconds, ends_at)
                pause.set_result(None)
        for upload in waiting:
            upload.cancel()
        await asyncio.gather(*uploads)

    async def _upload(self, pieces: int, *, is_stalled: bool = False) -> None:
        left = iter(range(pieces - 1, -1, -1))

        async def receive() -> Message:
            more = next(left)
            if more == 0 and is_stalled:
                self._end()
                await asyncio.Event().wait()
            return {"type": "http.request", "body": PIECE, "more_body": more > 0}

        async def send(message: Message) -> None:
            raise AssertionError(message)

        await self._limits({"type": "http", "method": "POST", "headers": []}, receive, send)
        self._end()

    def _end(self) -> None:
        self._ended += 1
        self._rests.set()

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            self.seconds += self._piece_seconds

    async def _sleep(self, seconds: float) -> None:
        pause = asyncio.get_running_loop().create_future()
        heapq.heappush(self._pauses, (self.seconds + seconds, next(self._numbers), pause))
        self._rests.set()
        await pause


@pytest.mark.parametrize("count", [1, 2, 16])
async def test_long_bodies_together_use_half_of_the_time(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    uploads = Uploads(monkeypatch, 0.002)
    await uploads.finish(count, pieces=101)
    assert uploads.seconds == pytest.approx(2 * count * 100 * 0.002, rel=0.05)


async def test_bodies_that_wait_for_their_clients_delay_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(monkeypatch, 0.002)
    await uploads.finish(1, pieces=101, stalled=20)
    assert 2 * 100 * 0.002 <= uploads.seconds <= 2 * (100 + 20 * 2) * 0.002


async def test_a_short_body_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(monkeypatch, 0.002)
    await uploads.finish(1, pieces=1)
    assert uploads.seconds == 0


async def test_a_piece_that_waited_for_something_counts_little(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(monkeypatch, 5)
    await uploads.finish(1, pieces=3)
    assert uploads.seconds == pytest.approx(2 * 5 + 0.02)
