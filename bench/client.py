"""A client for both servers, which sends the same requests to both and checks every response."""

import asyncio
import itertools
import json
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from bench.servers import NoFigure

RUNS = "/teams/demo-team/runs"
ENDED = {"COMPLETED", "ERROR", "CANCELLED"}
POLL_SECONDS = 0.05
MEMBER_WORK = '[[DELEGATE weather-agent: weather in Paris <TOOL get_weather {"city":"Paris"}>]]'

numbers = itertools.count()


def leader_work() -> str:
    """Return a message that the leader answers by itself."""
    return f"Say hello number {next(numbers)}"


def member_work() -> str:
    """Return a message that the leader gives to a member, who calls a tool: four model calls."""
    return f"What is the weather? Number {next(numbers)} {MEMBER_WORK}"


def new_session() -> str:
    return uuid.uuid4().hex


class Client:
    """Keeps connections to one server open and speaks the documented operations."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.polls = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)  # servers hang up after 5 s
        self.http = aiohttp.ClientSession(self.url, connector=connector, timeout=aiohttp.ClientTimeout(total=300))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def answer(self, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        """Make one request; return its JSON."""
        async with self.http.request(method, path, **options) as response:
            body = await response.read()
        if response.status != expect:
            raise NoFigure(f"{method} {path} answered {response.status}: {body[:300]!r}")
        return json.loads(body)

    async def run(self, message: str, session: str | None = None) -> dict[str, Any]:
        """Start a run and wait for its end in the same request."""
        form = {"message": message, "session_id": session or new_session(), "stream": "false"}
        run = await self.answer("POST", RUNS, data=form)
        return completed(run, message)

    async def start(self, message: str, session: str) -> dict[str, Any]:
        """Start a run in the background."""
        form = {"message": message, "session_id": session, "stream": "false", "background": "true"}
        accepted: dict[str, Any] = await self.answer("POST", RUNS, expect=202, data=form)
        return accepted

    async def get(self, run_id: str, session: str) -> dict[str, Any]:
        run: dict[str, Any] = await self.answer("GET", f"{RUNS}/{run_id}", params={"session_id": session})
        return run

    async def state(self, run_id: str, session: str) -> str:
        """Return a run's state, LOST where the server no longer knows the run."""
        async with self.http.get(f"{RUNS}/{run_id}", params={"session_id": session}) as response:
            run = json.loads(await response.read())
        return str(run["status"]) if response.status == 200 else "LOST"

    async def start_and_poll(self, message: str) -> dict[str, Any]:
        """Start a run in the background and ask for it every 50 ms until it ended."""
        session = new_session()
        accepted = await self.start(message, session)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.polls += 1
            run = await self.get(accepted["run_id"], session)
            if run["status"] in ENDED:
                return completed(run, message)

    async def stream(self, message: str) -> "Stream":
        """Start a run and read its events to the end."""
        form = {"message": message, "session_id": new_session(), "stream": "true"}
        stream = Stream()
        async with self.http.post(RUNS, data=form, auto_decompress=False) as response:
            stream.begin(response.headers.get("Content-Encoding", ""))
            async for piece in response.content.iter_any():
                stream.take(piece)
        if response.status != 200 or b"event: TeamRunCompleted\n" not in stream.tail:
            raise NoFigure(f"a stream did not end well: {stream.tail[-300:]!r}")
        return stream


class Stream:
    """What a reader of a stream saw.

    ``sent`` is how many bytes came over the connection, ``size`` how many they are unpacked.
    """

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first_seconds = 0.0
        self.sent = 0
        self.pieces: list[bytes] = []
        self.unpack: Callable[[bytes], bytes] = bytes

    def begin(self, encoding: str) -> None:
        """Read what follows as it is encoded."""
        if encoding == "gzip":
            self.unpack = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress

    def take(self, piece: bytes) -> None:
        if not self.pieces:
            self.first_seconds = time.perf_counter() - self.began
        self.sent += len(piece)
        self.pieces.append(self.unpack(piece))

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def events(self) -> int:
        return b"".join((b"\n", *self.pieces)).count(b"\nevent: ")

    @property
    def tail(self) -> bytes:
        return b"".join(self.pieces)[-200_000:]


def completed(run: dict[str, Any], message: str) -> dict[str, Any]:
    """Return `run` if it did what `message` asks for."""
    expected = "Done: Done: Sunny in Paris" if MEMBER_WORK in message else f"Echo: {message}"
    if run["status"] != "COMPLETED" or run["content"] != expected:
        raise NoFigure(f"a run ended {run['status']} with {str(run.get('content'))[:300]!r}")
    return run
