"""The connection to a server that runs as a program: messages are lines on its standard input and output.

It replaces the SDK's own transport, which accepts lines of any length and gives the program musterd's standard error.
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
ENDLESS_MESSAGES = 8
"""A line longer than this many messages counts as endless. A shorter one is skipped, and only its call fails."""
EXIT_SECONDS = 1.5
"""How long a program may take to exit after its input is closed, and again after each signal."""
POLL_SECONDS = 0.02
"""How often to check whether the child processes of a program have ended."""
_PEEK_BYTES = 200
# Servers write the id of a reply either first or last.
_ID_FIRST = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,15})\s*,')
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*(\d{1,15})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')

Streams = tuple[Any, Any]
"""The SDK's two streams: one to read messages from, and one to write them to."""


class EndlessLine(Exception):
    """A program writes a line that does not end."""


class LongLine:
    """A line that is too long to be parsed; only its beginning and end are kept."""

    def __init__(self, line: bytes) -> None:
        self._start = line[:_PEEK_BYTES]
        self._end = b""
        self.size = 0
        self.add(line)

    def add(self, data: bytes) -> None:
        """Skip more of the line."""
        self.size += len(data)
        self._end = (self._end + data[-_PEEK_BYTES:])[-_PEEK_BYTES:]

    @property
    def is_notification(self) -> bool:
        """Whether the line names a method, which a reply does not."""
        return b'"method"' in self._start or b'"method"' in self._end

    @property
    def request_id(self) -> int | None:
        """The id of the request that the line replies to, if it can be recognized."""
        match = _ID_FIRST.match(self._start) or _ID_LAST.search(self._end)
        return int(match[1]) if match else None


@contextlib.asynccontextmanager
async def program_streams(server: MCPServer, inbox: Inbox, sdk: Sdk) -> AsyncIterator[Streams]:
    """Start the program, and stop it at the end together with its child processes.

    :raises OSError: the program cannot be started.
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
        # A process group of its own, which _stop signals as a whole, and which a Ctrl+C in the terminal does not reach.
        start_new_session=True,
    )
    pipes = _Pipes(process, inbox, sdk, ProgramLog(server))
    tasks = [asyncio.create_task(coroutine) for coroutine in (pipes.read(), pipes.write(), pipes.follow_log())]
    try:
        yield pipes.incoming_end, pipes.outgoing_end
    finally:
        pipes.hang_up()
        try:
            await _stop(process)
        finally:
            # The transport stays open while a pipe has unread data or a child process holds it; asyncio has no public
            # way to close it.
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
        # Without a buffer, so that a program is read no faster than the SDK takes its messages.
        self._incoming, self.incoming_end = anyio.create_memory_object_stream[Any](0)
        self.outgoing_end, self._outgoing = anyio.create_memory_object_stream[Any](0)

    def hang_up(self) -> None:
        """Stop reading and writing."""
        for stream in (self._incoming, self.incoming_end, self.outgoing_end, self._outgoing):
            stream.close()

    async def follow_log(self) -> None:
        """Log the standard error of the program."""
        assert self._process.stderr is not None
        await self._log.follow(self._process.stderr)

    async def write(self) -> None:
        """Write the SDK's messages to the program."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError, anyio.ClosedResourceError):
            async for message in self._outgoing:
                text = self._sdk.text_of(message)
                self._note_sent(json.loads(text))
                stdin.write(text.encode() + b"\n")
                await stdin.drain()
        # The program no longer reads. End the stream, so that the SDK does not wait for replies.
        self._incoming.close()

    async def read(self) -> None:
        """Pass the program's messages to the SDK."""
        time_slice = clock.TimeSlice()
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            async with self._incoming:
                try:
                    async for line in self._lines():
                        message = (
                            self._reply_in_place_of(line) if isinstance(line, LongLine) else await self._read(line)
                        )
                        if message is not None:
                            await self._pass_on(message)
                        # Lines that are not passed on are read without a wait.
                        await time_slice.pause_if_over()
                except EndlessLine:
                    await self._give_up_requests()

    def _note_sent(self, message: JsonObject) -> None:
        self._inbox.note_sent(message)
        if "method" in message and isinstance(message.get("id"), int):
            self._open_requests.add(message["id"])
        elif message.get("method") == "notifications/cancelled":
            self._open_requests.discard(message.get("params", {}).get("requestId"))

    async def _lines(self) -> AsyncIterator[bytes | LongLine]:
        """The lines of the program's standard output."""
        stdout = self._process.stdout
        assert stdout is not None
        buffer, long_line = bytearray(), None
        while data := await stdout.read(READ_BYTES):
            if long_line is not None:
                rest, newline, data = data.partition(b"\n")
                long_line.add(rest)
                if not newline:
                    if long_line.size > ENDLESS_MESSAGES * self._inbox.limits.message_bytes:
                        raise EndlessLine
                    continue
                yield long_line
                long_line = None
            searched = len(buffer)
            buffer += data
            while (end := buffer.find(b"\n", searched)) >= 0:
                line = bytes(buffer[:end])
                yield line if len(line) <= self._inbox.limits.message_bytes else LongLine(line)
                del buffer[: end + 1]
                searched = 0
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
        """An error reply to the request that a line answers which is too long to be parsed."""
        request_id = line.request_id
        if request_id is None and line.is_notification:
            return None
        # It is a reply, but not known to which request. If the connection went on, that request would wait for ever.
        if request_id not in self._open_requests:
            raise EndlessLine
        return unusable_reply(request_id, self._inbox.too_long)

    async def _pass_on(self, message: JsonObject) -> None:
        if "method" not in message and isinstance(message.get("id"), int):
            self._open_requests.discard(message["id"])
        try:
            await self._incoming.send(self._sdk.message(message))
        except ValueError:  # pydantic's ValidationError: JSON, but not a valid message
            self._log.write([json.dumps(message).encode()])

    async def _give_up_requests(self) -> None:
        """Answer the open requests with errors before the connection is closed.

        The endless line is the reply to one of them. If there are several, it is not known which, so that all of them
        count as lost.
        """
        # Mark it as broken first: a caller that gets its error may call again at once, and must get a new connection.
        self._inbox.is_broken = True
        request_ids = sorted(self._open_requests)
        for request_id in request_ids:
            reply = unusable_reply(request_id, self._inbox.too_long)
            if len(request_ids) > 1:
                reply = error_reply(request_id, Cause.LOST, self._inbox.too_long)
            await self._pass_on(reply)


async def _stop(process: Process) -> None:
    """End the program and its child processes: close its input, then send signals."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
            if signal_number is not None:
                _signal(process, signal_number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_SECONDS):
                    await process.wait()
                    await _wait_for_group(process.pid)
                return
    except asyncio.CancelledError:  # this process stops and does not wait any longer
        _signal(process, signal.SIGKILL)
        raise


def _signal(process: Process, signal_number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal_number)


async def _wait_for_group(group: int) -> None:
    """Wait until a process group is empty. It is polled, because grandchildren cannot be waited for."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            await clock.sleep(POLL_SECONDS)
