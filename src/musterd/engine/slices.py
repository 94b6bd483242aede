"""Long work on the database in slices: short transactions, with room for everybody else's in between."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from musterd.core import clock
from musterd.store.database import Database, Tx, Work

T = TypeVar("T")
Item = TypeVar("Item")
SLICE_SECONDS = 0.01
"""How long a slice should hold up other writers. A run commits two to four times, and may meet a slice each time."""
FIRST, MOST = 10, 500
"""How many rows the first slice takes, and how many any slice takes at most."""


class Slices:
    """Transactions of one piece of long work; their size follows the time that they take.

    They come one at a time. After each there is a pause as long as it took, so that transactions that waited for it
    are committed by themselves, not together with the next slice.

    :param turn: held by all slices of a process, so that no two of them come together.
    """

    def __init__(self, database: Database, turn: asyncio.Lock) -> None:
        self._database = database
        self._turn = turn
        self._size = FIRST

    async def one(self, work: Callable[[int], Work[T]]) -> T:
        """Do one slice.

        :param work: makes the transaction for a number of rows.
        """
        async with self._turn:
            began = clock.monotonic()
            result, worked_seconds = await self._database.write(_timed(work(self._size)))
            seconds = clock.monotonic() - began
            self._resize(worked_seconds)
            await clock.sleep(seconds)
        return result

    async def until_done(self, work: Callable[[int], Work[int]]) -> int:
        """Do slices until one finds nothing to do; the sum of what they return."""
        total = 0
        while count := await self.one(work):
            total += count
        return total

    async def each(self, items: Sequence[Item], work: Callable[[Sequence[Item]], Work[int]]) -> int:
        """Do all items, a slice of them at a time; the sum of what the slices return."""
        total, left = 0, items

        def first(size: int) -> Work[int]:
            nonlocal left
            taken, left = left[:size], left[size:]
            return work(taken)

        while left:
            total += await self.one(first)
        return total

    def _resize(self, seconds: float) -> None:
        """Take fewer rows after a slice that was too long, and some more after a short one."""
        if seconds > SLICE_SECONDS:
            self._size = max(1, int(self._size * max(0.25, SLICE_SECONDS / seconds)))
        elif seconds < SLICE_SECONDS / 2:
            self._size = min(MOST, self._size + self._size // 4 + 1)


def _timed(work: Work[T]) -> Work[tuple[T, float]]:
    """``work``, and how many seconds it took within its transaction: not what it waited for it to begin."""

    async def timed(tx: Tx) -> tuple[T, float]:
        began = clock.monotonic()
        result = await work(tx)
        return result, clock.monotonic() - began

    return timed
