"""Searches long texts in pieces, so that other tasks of the event loop can run in between.

A search keeps the interpreter's lock until it is done, so a thread would not help: 29 phrases take 0.5 s in 1 MB.
"""

import re
from collections.abc import Iterator

from musterd.core import clock

PIECE_CHARACTERS = 16 * 1024
"""A search of so many characters takes about 10 ms."""
LONGEST_MATCH = 4096
"""A match of at most so many characters, with what the pattern requires after it, is the same as in the whole text."""


def matches_by_piece(pattern: re.Pattern[str], text: str) -> Iterator[list[re.Match[str]]]:
    """The matches of ``pattern.finditer(text)``, those that begin in one piece of the text at a time."""
    begin = 0
    while (end := begin + PIECE_CHARACTERS + LONGEST_MATCH) < len(text):
        next_begin = begin + PIECE_CHARACTERS
        matches: list[re.Match[str]] = []
        # The text before ``begin`` still counts for what a pattern requires before a match.
        for match in pattern.finditer(text, begin, end):
            if match.start() >= begin + PIECE_CHARACTERS:
                break
            # A match that reaches the end of the part that is searched may go on, or be none in the whole text.
            whole = match if match.end() < end else pattern.match(text, match.start())
            if whole is not None:
                matches.append(whole)
                next_begin = max(next_begin, whole.end())
        yield matches
        begin = next_begin
    yield list(pattern.finditer(text, begin))


def run(steps: Iterator[None]) -> None:
    """Take all steps at once."""
    for _ in steps:
        pass


async def run_with_pauses(steps: Iterator[None]) -> None:
    """Take the steps, and let other tasks run in between."""
    for _ in steps:
        await clock.yield_to_others()
