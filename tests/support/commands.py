"""Commands of the command line, called in a thread, so that a server in the same process can answer them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from musterd.cli.main import main
from tests.support.http import ServerClient


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """Standard output as a table."""
        return [line.split("\t") for line in self.out.splitlines()]


Command = Callable[..., Awaitable[Outcome]]
TalkTo = Callable[[ServerClient], None]


async def code_of(*words: str) -> int:
    """Call a command, and return its exit code."""
    return await asyncio.to_thread(_code_of, [*words])


def _code_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:  # wrong usage
        return int(end.code or 0)
