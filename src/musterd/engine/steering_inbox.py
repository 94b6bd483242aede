"""Messages to a run at work, and cancels of its members."""

import asyncio

from musterd.core.records import RunRow, SteeringMessage
from musterd.engine.database_retry import until_available
from musterd.loop.member_stops import MemberStops
from musterd.store import messages, steering
from musterd.store.database import Database, Tx
from musterd.store.shards import SessionTx

_NO_IDS: frozenset[str] = frozenset()  # one for all: there may be thousands of runs


class SteeringInbox:
    """The inbox of one attempt. It reads the database only when it learns of new signals.

    ``member_stops`` stops the members' runs that were cancelled.

    :param run: the root's row; its ``signals`` is kept up to date.
    """

    def __init__(self, database: Database, run: RunRow) -> None:
        self.member_stops = MemberStops()
        self._database = database
        self._run = run
        self._is_open = False
        self._seen = 0
        self._reading: asyncio.Task[None] | None = None
        self._unread: dict[str, list[SteeringMessage]] = {}
        self._delivered_ids = _NO_IDS

    def open(self) -> None:
        """Read the signals that the run has, and from now on each new one. Opening it again changes nothing."""
        self._is_open = True
        self.signalled(self._run.signals)

    def signalled(self, count: int) -> None:
        """Note that the run has ``count`` signals now, and read if they are new."""
        # Kept in the row, because a signal may come before the inbox is open, and a resumed loop reads the messages
        # only if there are signals.
        self._run.signals = max(self._run.signals, count)
        if self._is_open and self._run.signals > self._seen:
            self._seen = self._run.signals
            self._reading = asyncio.create_task(self._read(self._reading))

    async def look(self) -> None:
        """Read now, whether or not a signal has been noticed."""
        self._reading = asyncio.create_task(self._read(self._reading))
        await asyncio.shield(self._reading)

    async def take(self, run_id: str) -> list[SteeringMessage]:
        """Take the messages for one run; each message is returned once."""
        while (reading := self._reading) is not None:
            await asyncio.shield(reading)  # a cancelled member must not end the read of the whole tree
            if self._reading is reading:  # otherwise a signal came meanwhile, and began another read
                self._reading = None
        messages_for_run = self._unread.pop(run_id, [])
        if messages_for_run:
            # Remembered, because the next read may come before these are stored as taken, and would find them again.
            self._delivered_ids = self._delivered_ids.union(message.id for message in messages_for_run)
        return messages_for_run

    def close(self) -> None:
        """Read nothing more."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, earlier: "asyncio.Task[None] | None") -> None:
        root_id, session_id = self._run.run_id, self._run.session_id

        async def work(tx: Tx) -> tuple[list[SteeringMessage], list[str]]:
            tx = SessionTx(tx, session_id)
            return await messages.of_root(tx, root_id), await steering.members_to_cancel(tx, root_id)

        if earlier is not None:  # one read at a time: an older result must not replace a newer one
            await asyncio.wait([earlier])
        all_messages, stopped_run_ids = await until_available(lambda: self._database.scan(work), root_id)
        # Replaced and not extended: each read returns all messages, including those of the read before.
        self._unread = {}
        for message in all_messages:
            if message.taken_at is None and message.id not in self._delivered_ids:
                self._unread.setdefault(message.run_id, []).append(message)
        for run_id in stopped_run_ids:
            self.member_stops.stop(run_id)
