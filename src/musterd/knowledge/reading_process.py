"""Parses a document in a child process, which is killed if it takes too long."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass

import structlog

from musterd.core.threads import in_thread
from musterd.knowledge import extra
from musterd.knowledge.problems import ExtraMissing, Unreadable
from musterd.knowledge.reading_child import OUT_OF_MEMORY, TOO_LONG, UNREADABLE

log = structlog.get_logger("musterd.knowledge")

READ_BYTES = 64 * 1024
_COMMAND = (sys.executable, "-P", "-X", "utf8", "-m", "musterd.knowledge.reading_child")
# What the interpreter itself needs to start and to find its packages. No key and no other setting reaches the child.
_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
_MEGABYTE = 1024 * 1024

Piece = tuple[str, str | None]
"""A text, and its place in the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLimits:
    """What reading one document may take.

    :param seconds: how long it may take.
    :param memory_bytes: the address space of the process that parses it.
    :param text_bytes: the longest text, as UTF-8.
    """

    seconds: float = 60
    memory_bytes: int = 1024 * _MEGABYTE
    text_bytes: int = 32 * _MEGABYTE

    def too_long(self, noun: str) -> str:
        """The words for a document with more text than allowed."""
        return f"The {noun} has more than {self.text_bytes / _MEGABYTE:g} MB of text. Split it into several."


async def parsed(kind: str, noun: str, content: bytes, *, charset: str | None, limits: ReadingLimits) -> list[Piece]:
    """The pieces of text of a document.

    :param noun: what the document is, for messages.
    :raises Unreadable: it cannot be parsed within the limits.
    :raises ExtraMissing: the parsers are not installed.
    """
    if not extra.is_installed():
        raise ExtraMissing(f"Reading a {noun}")
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        kind,
        charset or "",
        str(limits.memory_bytes),
        str(int(limits.seconds) + 1),
        str(limits.text_bytes),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={name: value for name in _VARIABLES if (value := os.environ.get(name))},
        start_new_session=True,
    )
    feeding = asyncio.create_task(_feed(process, content))
    try:
        async with asyncio.timeout(limits.seconds):
            # A text in JSON is at most twice as long, as control characters were removed.
            output = await _output(process, 2 * limits.text_bytes + _MEGABYTE)
            exit_code = await process.wait() if output is not None else TOO_LONG
    except TimeoutError as error:
        raise Unreadable(f"Reading the {noun} takes longer than {limits.seconds:g} s.") from error
    finally:
        feeding.cancel()
        await _end(process)
    return await in_thread(_pieces, output or b"", exit_code, noun, limits)


def _pieces(output: bytes, exit_code: int, noun: str, limits: ReadingLimits) -> list[Piece]:
    match exit_code:
        case 0:
            return [(text, place) for text, place in map(json.loads, output.splitlines())]
        case code if code == UNREADABLE:
            raise Unreadable(json.loads(output.splitlines()[-1]))
        case code if code == TOO_LONG:
            raise Unreadable(limits.too_long(noun))
        case code if code in (OUT_OF_MEMORY, -signal.SIGABRT):
            raise Unreadable(f"Reading the {noun} takes more than {limits.memory_bytes / _MEGABYTE:g} MB of memory.")
        case code if code in (-signal.SIGXCPU, -signal.SIGKILL):
            raise Unreadable(f"Reading the {noun} takes longer than {limits.seconds:g} s.")
    log.warning("document not read", document=noun, exit_code=exit_code)
    raise Unreadable(f"The {noun} could not be read. It is damaged or incomplete.")


async def _feed(process: Process, content: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it ended before it had read everything; its exit code says why
        process.stdin.write(content)
        await process.stdin.drain()
    process.stdin.close()


async def _output(process: Process, max_bytes: int) -> bytes | None:
    """What the process writes; None if that is more than ``max_bytes``."""
    assert process.stdout is not None
    output = bytearray()
    while data := await process.stdout.read(READ_BYTES):
        output += data
        if len(output) > max_bytes:
            return None
    return bytes(output)


async def _end(process: Process) -> None:
    """Kill the process with its group, and wait until it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A wait ends after the pipes are closed, which they are not while one has unread data. asyncio has no public way to
    # close them.
    vars(process)["_transport"].close()
    await process.wait()
