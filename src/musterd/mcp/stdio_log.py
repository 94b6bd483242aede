"""Copies the standard error of an MCP server's program to musterd's log.

The text is untrusted: each line is labelled with the server's name, escaped, shortened, and stripped of the secrets in
the declaration, and the number of lines is limited.
"""

import asyncio
from collections.abc import Sequence

import structlog

from musterd.core import clock
from musterd.declare import MCPServer

log = structlog.get_logger("musterd.mcp")

LINE_BYTES = 1000
"""Longest part of one line that is logged."""
LINES_AT_ONCE = 50
LINES_PER_SECOND = 5.0
READ_BYTES = 16 * 1024
PAUSE_SECONDS = 0.05
"""How long reading pauses when a program writes more lines than are logged."""


class ProgramLog:
    """Logs the lines of one program: ``LINES_AT_ONCE``, and then ``LINES_PER_SECOND`` on average.

    Further lines are only counted, and the next logged line says how many were left out.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        self._allowed = float(LINES_AT_ONCE)
        self._allowed_at = clock.monotonic()
        self._left_out = 0

    async def follow(self, stderr: asyncio.StreamReader) -> None:
        """Log the lines of a program until it closes the stream."""
        unfinished = b""
        try:
            while data := await stderr.read(READ_BYTES):
                *lines, rest = (unfinished + data).split(b"\n")
                unfinished = rest[: LINE_BYTES + 1]
                if not self.write(lines):
                    # The pipe fills up during the pause, which slows down a program that writes without end.
                    await clock.sleep(PAUSE_SECONDS)
        finally:
            self.write([unfinished])
            if self._left_out:
                self._log("(the end)")

    def write(self, lines: Sequence[bytes]) -> bool:
        """Log these lines. Returns False if there were too many to log them all."""
        now = clock.monotonic()
        self._allowed = min(self._allowed + (now - self._allowed_at) * LINES_PER_SECOND, LINES_AT_ONCE)
        self._allowed_at = now
        lines = [line for line in lines if line.strip()]
        logged = lines[: int(self._allowed)]
        self._allowed -= len(logged)
        for line in logged:
            text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip()
            self._log(f"{text}…" if len(line) > LINE_BYTES else text)
        self._left_out += len(lines) - len(logged)
        return len(logged) == len(lines)

    def _log(self, text: str) -> None:
        text = self._server.without_secrets(text)
        text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
        count = {"lines_left_out": self._left_out} if self._left_out else {}
        log.info("MCP server wrote to its standard error", server=self._server.known_as, line=text, **count)
        self._left_out = 0
