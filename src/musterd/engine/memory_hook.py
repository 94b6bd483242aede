"""Memories of users as a feature stores them, and the loop's access to them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from musterd.core.records import RunRow
from musterd.core.user_memories import MemoryChanges, UserMemory
from musterd.engine.database_retry import until_available
from musterd.store.database import Database, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHook:
    """How a feature stores the memories of the users of runs. Each function gets a root run.

    :param newest: reads the memories of the run's user that changed last, newest first, and at most so many; without
        fields of the profile.
    :param texts: reads the ids and texts of the same, for which it is cheap to read hundreds.
    :param matching: reads those with these ids, and those with these keys (``core.user_memories.memory_key``).
    :param note: stores changes, in the transaction that completes the run. Keep it short; it holds locks of the run.
    """

    newest: Callable[[Tx, RunRow, int], Awaitable[Sequence[UserMemory]]]
    texts: Callable[[Tx, RunRow, int], Awaitable[Sequence[tuple[str, str]]]]
    matching: Callable[[Tx, RunRow, Collection[str], Collection[str]], Awaitable[Sequence[UserMemory]]]
    note: Callable[[Tx, RunRow, Sequence[MemoryChanges]], Awaitable[None]]


class StoredMemories:
    """The memories of a root run's user; implements the loop's :class:`musterd.loop.user_memories.UserMemories`."""

    __slots__ = ("_database", "_hook", "_run")  # each run of a user has one

    def __init__(self, database: Database, hook: MemoryHook, run: RunRow) -> None:
        self._database = database
        self._hook = hook
        self._run = run

    async def newest(self, limit: int) -> Sequence[UserMemory]:
        """The memories that changed last, newest first."""

        async def work(tx: Tx) -> Sequence[UserMemory]:
            return await self._hook.newest(tx, self._run, limit)

        return await until_available(lambda: self._database.read(work), self._run.run_id)

    async def texts(self, limit: int) -> Sequence[tuple[str, str]]:
        """The ids and texts of the memories that changed last, newest first."""

        async def work(tx: Tx) -> Sequence[tuple[str, str]]:
            return await self._hook.texts(tx, self._run, limit)

        return await until_available(lambda: self._database.read(work), self._run.run_id)

    async def matching(self, ids: Collection[str], keys: Collection[str]) -> Sequence[UserMemory]:
        """The memories with these ids, and those with these keys."""

        async def work(tx: Tx) -> Sequence[UserMemory]:
            return await self._hook.matching(tx, self._run, ids, keys)

        return await until_available(lambda: self._database.read(work), self._run.run_id)
