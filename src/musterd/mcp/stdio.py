"""The connection to a server that is a program: messages are lines on its standard input and output.

In place of the SDK's own, which takes lines of any length, and hands the program musterd's standard error.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any

import anyio

from musterd.core import clock
from musterd.core.jsontypes import JsonObject
from musterd.declare import MCPServer
from musterd.mcp.messages import Cause, Inbox, UnreadableMessage, error_reply, unusable_reply
from musterd.mcp.sdk import Sdk
from musterd.mcp.stdio_log import ProgramLog

READ_BYTES = 64 * 1024
ENDLESS = 8
"""A line of so many times the length of a message has no end; a shorter one is read over, and costs its call alone."""
LEAVE_SECONDS = 1.5
"""How long a program may take to end after its input is closed, and again after each signal."""
LOOK_SECONDS = 0.02
"""How often it is looked whether the programs that a program has started have ended."""
_PEEK_BYTES = 200
# Servers write a reply's id at the beginning, or at the end.
_ID_FIRST = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,15})\s*,')
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*(\d{1,15})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')

Streams = tuple[Any, Any]
"""The two streams of the SDK: one to read messages from, one to write them to."""


class EndlessLine(Exception):
    """A program writes a line without an end."""


class LongLine:
    """A line that is not read, by its beginning and its end."""

    def __init__(self, line: bytes) -> None:
        self._begin = line[:_PEEK_BYTES]
        self._end = b""
        self.size = 0
        self.add(line)

    def add(self, data: bytes) -> None:
        """Read over more of it."""
        self.size += len(data)
        self._end = (self._end + data[-_PEEK_BYTES:])[-_PEEK_BYTES:]

    @property
    def is_notification(self) -> bool:
        """Whether it names a method, and therefore replies to nothing."""
        return b'"method"' in self._begin or b'"method"' in self._end

    @property
    def request_id(self) -> int | None:
        """The request that it replies to, if that can be seen."""
        match = _ID_FIRST.match(self._begin) or _ID_LAST.search(self._end)
        return int(match[1]) if match else None


@contextlib.asynccontextmanager
async def program_streams(server: MCPServer, inbox: Inbox, sdk: Sdk) -> AsyncIterator[Streams]:
    """Start the program, and stop it in the end, with the programs that it has started itself.

    :raises OSError: it cannot be started.
    """
    program, *arguments = server.arguments()
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**sdk.default_environment(), **server.variables()},
        cwd=server.cwd,
        start_new_session=True,
    )
    pipes = _Pipes(process, inbox, sdk, ProgramLog(server))
    tasks = [asyncio.create_task(work) for work in (pipes.read(), pipes.write(), pipes.follow_log())]
    try:
        yield pipes.incoming_end, pipes.outgoing_end
    finally:
        pipes.hang_up()
        await _stop(process)
        # It stays open while data is left in a pipe, or a child of the program holds one. Nothing public gives it.
        vars(process)["_transport"].close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _Pipes:
    """Carries messages between a program and the SDK."""

    def __init__(self, process: Process, inbox: Inbox, sdk: Sdk, program_log: ProgramLog) -> None:
        self._process = process
        self._inbox = inbox
        self._sdk = sdk
        self._log = program_log
        self._open_requests: set[int] = set()
        self._incoming, self.incoming_end = anyio.create_memory_object_stream[Any](0)
        self.outgoing_end, self._outgoing = anyio.create_memory_object_stream[Any](0)

    def hang_up(self) -> None:
        """Read and write nothing more."""
        for stream in (self._incoming, self.incoming_end, self.outgoing_end, self._outgoing):
            stream.close()

    async def follow_log(self) -> None:
        """Log what the program writes to its standard error."""
        assert self._process.stderr is not None
        await self._log.follow(self._process.stderr)

    async def write(self) -> None:
        """Write what the SDK sends."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError, anyio.ClosedResourceError):
            async for message in self._outgoing:
                text = self._sdk.text_of(message)
                self._note_sent(json.loads(text))
                stdin.write(text.encode() + b"\n")
                await stdin.drain()
        # The program does not read any more: the SDK must see an end, not wait for replies.
        self._incoming.close()

    async def read(self) -> None:
        """Hand the SDK what the program writes."""
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with self._incoming:
                try:
                    async for line in self._lines():
                        message = (
                            self._reply_in_place_of(line) if isinstance(line, LongLine) else await self._read(line)
                        )
                        if message is not None:
                            await self._hand_on(message)
                except EndlessLine:
                    await self._give_up_requests()

    def _note_sent(self, message: JsonObject) -> None:
        self._inbox.note_sent(message)
        if "method" in message and isinstance(message.get("id"), int):
            self._open_requests.add(message["id"])
        elif message.get("method") == "notifications/cancelled":
            self._open_requests.discard(message.get("params", {}).get("requestId"))

    async def _lines(self) -> AsyncIterator[bytes | LongLine]:
        """The lines that the program writes."""
        stdout = self._process.stdout
        assert stdout is not None
        buffer, long_line = bytearray(), None
        while data := await stdout.read(READ_BYTES):
            if long_line is not None:
                part, newline, data = data.partition(b"\n")
                long_line.add(part)
                if not newline:
                    if long_line.size > ENDLESS * self._inbox.limits.message_bytes:
                        raise EndlessLine
                    continue
                yield long_line
                long_line = None
            seen = len(buffer)
            buffer += data
            while (end := buffer.find(b"\n", seen)) >= 0:
                line = bytes(buffer[:end])
                yield line if len(line) <= self._inbox.limits.message_bytes else LongLine(line)
                del buffer[: end + 1]
                seen = 0
            if len(buffer) > self._inbox.limits.message_bytes:
                long_line = LongLine(bytes(buffer))
                buffer.clear()

    async def _read(self, line: bytes) -> JsonObject | None:
        if not line.strip():
            return None
        try:
            return await self._inbox.read(line)
        except UnreadableMessage as problem:
            request_id = LongLine(line).request_id
            if request_id in self._open_requests:
                return unusable_reply(request_id, str(problem))
            self._log.write([line])
            return None

    def _reply_in_place_of(self, line: LongLine) -> JsonObject | None:
        """An error for the request to which a line replies that was too long to be read."""
        request_id = line.request_id
        if request_id is None and line.is_notification:
            return None
        if request_id not in self._open_requests:
            raise EndlessLine
        return unusable_reply(request_id, self._inbox.too_long)

    async def _hand_on(self, message: JsonObject) -> None:
        if "method" not in message and isinstance(message.get("id"), int):
            self._open_requests.discard(message["id"])
        try:
            await self._incoming.send(self._sdk.message(message))
        except ValueError:  # pydantic's ValidationError: it is JSON, but no message
            self._log.write([json.dumps(message).encode()])

    async def _give_up_requests(self) -> None:
        """Answer what waits before the connection is closed; of several requests one alone was answered too long."""
        self._inbox.is_broken = True  # first: who gets an answer may call again at once, and not over this connection
        waiting = sorted(self._open_requests)
        for request_id in waiting:
            reply = unusable_reply(request_id, self._inbox.too_long)
            if len(waiting) > 1:
                reply = error_reply(request_id, Cause.LOST, self._inbox.too_long)
            await self._hand_on(reply)


async def _stop(process: Process) -> None:
    """End the program and the programs that it has started: by the end of its input, then by signals."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await process.wait()
                await _group_ended(process.pid)
            return


async def _group_ended(group: int) -> None:
    """Wait until no process of a group is left. The system does not tell of those that are no children of this one."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            await clock.sleep(LOOK_SECONDS)
