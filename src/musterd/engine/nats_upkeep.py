"""Decides which process does upkeep.

A process that has done upkeep tells all others. A process that gets this message from a smaller id skips its turns
until it has got no such message for a while. So after the first turn, the process with the smallest id does upkeep
alone. Nothing is stored, and there is no election. If messages are lost, several processes do upkeep, which is safe,
because each transaction of upkeep decides again under its locks.
"""

import json
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

from musterd.core import clock, jsontext
from musterd.engine.bus import Findings
from musterd.engine.nats_subjects import Subjects

SKIPPED_PERIODS = 2.5
"""For how many periods after such a message a process skips its turns."""


class UpkeepTurns:
    """The turns of one process."""

    def __init__(self, connection: Client, subjects: Subjects, worker_id: str) -> None:
        self._connection = connection
        self._subject = subjects.upkeep
        self._worker_id = worker_id
        self._message_at: float | None = None

    async def open(self, on_done: Callable[[Findings], None]) -> None:
        """Receive the messages of the others.

        :param on_done: called when another process has done upkeep.
        """

        async def on_message(message: Msg) -> None:
            done = json.loads(message.data)
            if done["worker"] < self._worker_id:
                self._message_at = clock.monotonic()
            on_done(Findings(done["is_any_ready"], done["duties"]))

        await self._connection.subscribe(self._subject, cb=on_message)

    async def say_done(self, findings: Findings) -> None:
        """Tell the others that this process has done upkeep."""
        done = {"worker": self._worker_id, "is_any_ready": findings.is_any_ready, "duties": list(findings.duties)}
        await self._connection.publish(self._subject, jsontext.dumps(done).encode())

    def is_left_to_another(self, period_seconds: float) -> bool:
        """Whether another process does upkeep, so this one skips its turn."""
        if self._message_at is None or not self._connection.is_connected:
            return False
        return clock.monotonic() - self._message_at < SKIPPED_PERIODS * period_seconds
