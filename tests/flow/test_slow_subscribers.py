"""Subscribers that read late get everything. Those that do not read are disconnected, and their runs continue."""

import asyncio
import socket
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.flow.test_resume import paged
from tests.support.app import Serve
from tests.support.http import ServerClient, read_frames

RUN = "/teams/demo-team/runs/r1"
LONG = f'[[TOOL get_weather {{"city": "{"x" * 300_000} today"}}]]'
SLOW: dict[str, Any] = {
    "stream_buffer_bytes": 20_000,
    "write_seconds": 0.5,
    "disconnect_seconds": 0.05,
    "delta_seconds": 0.001,
}


class Sleeper:
    """A client that sends a request and does not read."""

    def __init__(self, client: ServerClient, request: str, body: str = "") -> None:
        self._connection = socket.socket()
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = client.http.base_url
        assert url.port
        self._connection.connect((url.host, url.port))
        self._connection.setblocking(False)
        form = "Connection: close\r\nContent-Type: application/x-www-form-urlencoded"
        self._text = f"{request} HTTP/1.1\r\nHost: localhost\r\n{form}\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    async def send(self) -> None:
        """Send the request."""
        await asyncio.get_running_loop().sock_sendall(self._connection, self._text.encode())

    async def wake(self) -> list[dict[str, Any]]:
        """The whole events among all that was sent meanwhile, until the server closed the connection."""
        content = bytearray()
        with self._connection:
            while piece := await asyncio.get_running_loop().sock_recv(self._connection, 65536):
                content += piece
        _, _, body = content.partition(b"\r\n\r\n")
        text = _without_chunks(bytes(body)).decode(errors="replace")
        whole, end, _ = text.rpartition("\n\n")  # on a busy machine the first event may not have come as a whole
        return [event for event, _ in read_frames(whole + end)]


def _without_chunks(body: bytes) -> bytes:
    content = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        content += body[:length]
        body = body[length + 2 :]
    return bytes(content)


async def until_disconnected(client: ServerClient, run_id: str) -> None:
    """Until the server has closed the connection of the run's subscriber."""
    while client.server.broadcaster.has_subscribers(run_id):
        await client.get("/-/live")


async def test_a_subscriber_that_reads_late_gets_everything(serve_live: Serve) -> None:
    async with serve_live(**{**SLOW, "write_seconds": 600}) as client:
        body = urlencode({"message": LONG, "run_id": "r1", "session_id": "s1"})
        sleeper = Sleeper(client, "POST /teams/demo-team/runs", body)
        await sleeper.send()
        overflows = client.server.broadcaster.metrics.stream_overflows
        while not overflows.values[()]:
            await client.get("/-/live")
        assert await sleeper.wake() == await paged(client)


async def test_one_that_started_the_run(serve_live: Serve) -> None:
    """The server closed the connection. The client has not left, so its run is not cancelled."""
    async with serve_live(**SLOW) as client:
        hold = client.model.hold("[[TOOL", after=4)  # before the last word of its answer
        body = urlencode({"message": LONG, "run_id": "r1", "session_id": "s1"})
        sleeper = Sleeper(client, "POST /teams/demo-team/runs", body)
        await sleeper.send()
        await hold.reached.wait()
        await until_disconnected(client, "r1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hold.stopped.wait(), 0.2)
        had = await sleeper.wake()
        data = {"session_id": "s1", **({"last_event_index": str(had[-1]["event_index"])} if had else {})}
        async with client.opened("POST", f"{RUN}/resume", data=data) as reader:
            await reader.until("subscribed")
            hold.release()
            await reader.rest()
        rest = [event for event in reader.events if "event_index" in event]
        assert had + rest == await paged(client)
        assert rest[-1]["event"] == "TeamRunCompleted"


async def test_one_that_follows_the_session(serve_live: Serve) -> None:
    async with serve_live(**SLOW) as client:
        await client.run("over", session_id="s1")
        sleeper = Sleeper(client, "GET /sessions/s1/events")
        await sleeper.send()
        while not client.server.broadcaster._watches:
            await client.get("/-/live")
        start = client.model.hold("[[TOOL")
        run = await client.begin(LONG, session_id="s1", run_id="r1")
        while not client.server.broadcaster.has_subscribers("r1"):
            await client.get("/-/live")
        await start.reached.wait()
        end = client.model.hold("[[TOOL", after=4)  # before the last word of its answer
        start.release()
        await end.reached.wait()
        await until_disconnected(client, "r1")
        end.release()
        assert (await client.ended(run))["status"] == "COMPLETED"
        had = await sleeper.wake()
        assert had == (await paged(client))[: len(had)]
        assert "TeamRunCompleted" not in [event["event"] for event in had]


async def test_one_long_event_is_no_overflow_for_a_client_that_reads(serve_live: Serve) -> None:
    async with serve_live(stream_buffer_bytes=100_000) as client:
        stream = await client.stream(f"[[SAY {'x' * 500_000}]]")
        assert len(stream.one("TeamRunCompleted")["content"]) == 500_000
