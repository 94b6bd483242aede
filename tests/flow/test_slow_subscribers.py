"""Readers that do not keep up: they are cut off, their run goes on, and whoever comes back has everything."""

import asyncio
import socket
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.flow.test_resume import paged
from tests.support.app import Serve
from tests.support.http import House, read_frames

RUN = "/teams/demo-team/runs/r1"
LONG = f'[[TOOL get_weather {{"city": "{"x" * 300_000} today"}}]]'
SLOW: dict[str, Any] = {"stream_buffer_bytes": 20_000, "disconnect_seconds": 0.05, "delta_seconds": 0.001}


class Sleeper:
    """A client that sends a request and does not read."""

    def __init__(self, house: House, request: str, body: str = "") -> None:
        self._connection = socket.socket()
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = house.http.base_url
        assert url.port
        self._connection.connect((url.host, url.port))
        self._connection.setblocking(False)
        form = "Content-Type: application/x-www-form-urlencoded"
        self._text = f"{request} HTTP/1.1\r\nHost: localhost\r\n{form}\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    async def send(self) -> None:
        """Send the request."""
        await asyncio.get_running_loop().sock_sendall(self._connection, self._text.encode())

    async def wake(self) -> list[dict[str, Any]]:
        """The whole events among all that was sent meanwhile, until the server closed the connection."""
        found = bytearray()
        with self._connection:
            while piece := await asyncio.get_running_loop().sock_recv(self._connection, 65536):
                found += piece
        _, _, body = found.partition(b"\r\n\r\n")
        text = _without_chunks(bytes(body)).decode(errors="replace")
        whole, end, _ = text.rpartition("\n\n")  # on a busy machine the first event may not have come as a whole
        return [event for event, _ in read_frames(whole + end)]


def _without_chunks(body: bytes) -> bytes:
    found = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        found += body[:length]
        body = body[length + 2 :]
    return bytes(found)


async def dropped(house: House, sleeper: Sleeper) -> None:
    """Until the run has one reader fewer than it had."""
    await sleeper.send()
    while not house.server.broadcaster.has_subscribers("r1"):
        await house.get("/-/live")
    while house.server.broadcaster.has_subscribers("r1"):
        await house.get("/-/live")


async def test_one_that_started_the_run(serve_live: Serve) -> None:
    """It was us who closed the connection: that says nothing of the client, so its run is not cancelled."""
    async with serve_live(**SLOW) as house:
        hold = house.model.hold("[[TOOL", after=4)  # before the last word of its answer
        body = urlencode({"message": LONG, "run_id": "r1", "session_id": "s1"})
        sleeper = Sleeper(house, "POST /teams/demo-team/runs", body)
        await dropped(house, sleeper)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hold.stopped.wait(), 0.2)
        had = await sleeper.wake()
        data = {"session_id": "s1", **({"last_event_index": str(had[-1]["event_index"])} if had else {})}
        async with house.opened("POST", f"{RUN}/resume", data=data) as reader:
            await reader.until("subscribed")
            hold.release()
            await reader.rest()
        rest = [event for event in reader.events if "event_index" in event]
        assert had + rest == await paged(house)
        assert rest[-1]["event"] == "TeamRunCompleted"


async def test_one_that_follows_the_session(serve_live: Serve) -> None:
    async with serve_live(**SLOW) as house:
        await house.run("over", session_id="s1")
        sleeper = Sleeper(house, "GET /sessions/s1/events")
        await sleeper.send()
        while not house.server.broadcaster._watches:
            await house.get("/-/live")
        run = await house.begin(LONG, session_id="s1", run_id="r1")
        assert (await house.ended(run))["status"] == "COMPLETED"
        while house.server.broadcaster._watches:
            await house.get("/-/live")
        had = await sleeper.wake()
        assert had == (await paged(house))[: len(had)]
        assert "TeamRunCompleted" not in [event["event"] for event in had]
