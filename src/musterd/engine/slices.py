"""Long work on the database in slices: short transactions, with room for everybody else's in between."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from musterd.core import clock
from musterd.store.database import Database, Work

T = TypeVar("T")
Item = TypeVar("Item")


class Slices:
    """Runs the transactions of long work one at a time, and pauses after each for half as long as it took.

    Because of the pause, transactions that waited for a slice are not committed together with the next one. A run waits
    for at most one slice each time it commits.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def one(self, work: Work[T]) -> T:
        """Do one slice."""
        async with self._turn:
            began = clock.monotonic()
            result = await self._database.write(work)
            await clock.sleep((clock.monotonic() - began) / 2)
        return result

    async def until_done(self, work: Work[int]) -> int:
        """Do slices until one finds nothing to do; the sum of what they return."""
        total = 0
        while count := await self.one(work):
            total += count
        return total

    async def each(self, slices: Iterable[Sequence[Item]], work: Callable[[Sequence[Item]], Work[int]]) -> int:
        """Do slices of some items each; the sum of what they return."""
        total = 0
        for items in slices:
            total += await self.one(work(items))
        return total
