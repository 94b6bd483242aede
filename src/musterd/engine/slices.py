"""Runs long database work in slices: short transactions with room for other transactions in between."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from musterd.core import clock
from musterd.store.database import Database, Work

T = TypeVar("T")
Item = TypeVar("Item")


class Slices:
    """Runs the transactions of long work one at a time, and pauses after each for a quarter of the time that it took.

    The pause keeps transactions that waited for a slice from being committed together with the next one. A run waits
    for at most one slice each time it commits.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def one(self, work: Work[T]) -> T:
        """Run one slice."""
        async with self._turn:
            started_at = clock.monotonic()
            result = await self._database.write(work)
            # A quarter, measured: with half, less than 2,000 old runs are removed a second; with a quarter, runs at
            # work wait less than 50 ms.
            # Within the lock, so that no other slice fills the pause.
            await clock.sleep((clock.monotonic() - started_at) / 4)
        return result

    async def until_done(self, work: Work[int]) -> int:
        """Run slices until one has nothing to do; returns the sum of their results."""
        total = 0
        while count := await self.one(work):
            total += count
        return total

    async def each(self, slices: Iterable[Sequence[Item]], work: Callable[[Sequence[Item]], Work[int]]) -> int:
        """Run one slice for each group of items; returns the sum of their results."""
        total = 0
        for items in slices:
            total += await self.one(work(items))
        return total
