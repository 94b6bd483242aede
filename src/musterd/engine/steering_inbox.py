"""What is said to a run at work: messages for its agents, members that are to stop."""

import asyncio
from collections.abc import Callable

from musterd.core.records import Message
from musterd.engine.outbox import until_available
from musterd.store import messages, steering
from musterd.store.database import Database, Tx

_NONE: frozenset[str] = frozenset()  # one for all: there may be thousands of runs


class SteeringInbox:
    """The post of one attempt: read when it learns that there is some.

    :param seen: how many signals there were when the attempt began; it reads them before its first turn.
    :param stop_member: ends one member where it is.
    """

    def __init__(self, database: Database, root_id: str, seen: int, stop_member: Callable[[str], object]) -> None:
        self._database = database
        self._root_id = root_id
        self._seen = 0
        self._stop_member = stop_member
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[str, list[Message]] = {}
        self._given = _NONE
        self.signalled(seen)

    def signalled(self, count: int) -> None:
        """There are so many signals now."""
        if count > self._seen:
            self._seen = count
            self._reading = asyncio.create_task(self._read(self._reading))

    async def look(self) -> None:
        """Read now what there is, whether or not anybody told of it."""
        self._reading = asyncio.create_task(self._read(self._reading))
        await asyncio.shield(self._reading)

    async def take(self, run_id: str) -> list[Message]:
        """What has come for one run; each message is given once."""
        if self._reading is not None:
            await asyncio.shield(self._reading)
            self._reading = None
        found = self._waiting.pop(run_id, [])
        if found:
            self._given = self._given.union(message.id for message in found)
        return found

    def close(self) -> None:
        """Nothing more is read."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, earlier: "asyncio.Task[None] | None") -> None:
        async def work(tx: Tx) -> tuple[list[Message], list[str]]:
            return await messages.of_root(tx, self._root_id), await steering.flagged(tx, self._root_id)

        if earlier is not None:
            await asyncio.wait([earlier])
        found, stopping = await until_available(lambda: self._database.scan(work), self._root_id)
        self._waiting = {}
        for message in found:
            if message.taken_at is None and message.id not in self._given:
                self._waiting.setdefault(message.run_id, []).append(message)
        for run_id in stopping:
            self._stop_member(run_id)
