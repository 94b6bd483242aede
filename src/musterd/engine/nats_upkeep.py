"""Which process does upkeep: one at a time, as long as the others hear from it.

A process that has done upkeep says so to all others. One that hears it from a process with a smaller id leaves the
next turns to that one, until it has not heard from it for a while. So after the first turn the process with the
smallest id does upkeep alone, with nothing stored anywhere and no vote. If messages are lost, several do it, which is
as right: each transaction of upkeep decides again under its locks.
"""

import json
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

from musterd.core import clock, jsontext
from musterd.engine.bus import Findings
from musterd.engine.nats_subjects import Subjects

LEFT_PERIODS = 2.5
"""How many periods a process leaves upkeep to the one from which it has last heard."""


class UpkeepTurns:
    """The turns of one process."""

    def __init__(self, connection: Client, subjects: Subjects, worker_id: str) -> None:
        self._connection = connection
        self._subject = subjects.upkeep
        self._worker_id = worker_id
        self._heard_at: float | None = None

    async def open(self, on_done: Callable[[Findings], None]) -> None:
        """Hear from the others.

        :param on_done: called when another process has done upkeep.
        """

        async def come(message: Msg) -> None:
            done = json.loads(message.data)
            if done["worker"] < self._worker_id:
                self._heard_at = clock.monotonic()
            on_done(Findings(done["is_any_ready"], done["duties"]))

        await self._connection.subscribe(self._subject, cb=come)

    async def say_done(self, findings: Findings) -> None:
        """Say that this process has done upkeep."""
        done = {"worker": self._worker_id, "is_any_ready": findings.is_any_ready, "duties": list(findings.duties)}
        await self._connection.publish(self._subject, jsontext.dumps(done).encode())

    def is_left_to_another(self, period_seconds: float) -> bool:
        """Whether another process does upkeep in place of this one."""
        if self._heard_at is None or not self._connection.is_connected:
            return False
        return clock.monotonic() - self._heard_at < LEFT_PERIODS * period_seconds
