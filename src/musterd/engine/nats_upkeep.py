"""Decides which process does upkeep.

A process that has done upkeep tells all others. A process that gets this message from a smaller id skips its turns
until it has got no such message for a while, or that process says that it stops. So after the first turn, the process
with the smallest id does upkeep alone. Nothing is stored, and there is no election. If messages are lost, several
processes do upkeep, which is safe, because each transaction of upkeep decides again under its locks.
"""

import json
from collections.abc import Callable, Mapping

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from musterd.core import clock, jsontext
from musterd.engine.bus import Findings
from musterd.engine.nats_subjects import Subjects

log = structlog.get_logger("musterd.engine")

SKIPPED_PERIODS = 2.5
"""For how many periods after such a message a process skips its turns."""


class UpkeepTurns:
    """The turns of one process."""

    def __init__(self, connection: Client, subjects: Subjects, worker_id: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._worker_id = worker_id
        self._instance_id = ""
        self._followed: str | None = None
        """The process whose upkeep this one relies on."""
        self._message_at = 0.0
        """When the message of that process came."""
        self._has_warned = False

    async def open(self, instance_id: str, on_done: Callable[[Findings], None]) -> None:
        """Receive the messages of the others.

        :param instance_id: the id of the database. Messages from processes of another one are ignored.
        :param on_done: called when another process has done upkeep.
        """
        self._instance_id = instance_id

        async def on_message(message: Msg) -> None:
            content = json.loads(message.data)
            if content["instance"] != instance_id:
                self._warn_of_another_database()
            elif (findings := content["findings"]) is None:
                if content["worker"] == self._followed:
                    self._followed = None
            else:
                if content["worker"] < self._worker_id:
                    self._followed, self._message_at = content["worker"], clock.monotonic()
                on_done(Findings(findings["is_any_ready"], findings["duties"]))

        await self._connection.subscribe(self._subjects.upkeep, cb=on_message)

    def _warn_of_another_database(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "another database uses this NATS with the same prefix, so hints are lost; "
                "set another MUSTERD_BUS_PREFIX for one of them",
                prefix=self._subjects.prefix,
            )

    async def say_done(self, findings: Findings) -> None:
        """Tell the others that this process has done upkeep."""
        await self._publish({"is_any_ready": findings.is_any_ready, "duties": list(findings.duties)})

    async def say_stopping(self) -> None:
        """Tell the others that this process does no more upkeep, so that they do not wait for it."""
        await self._publish(None)

    async def _publish(self, findings: Mapping[str, object] | None) -> None:
        content = {"instance": self._instance_id, "worker": self._worker_id, "findings": findings}
        await self._connection.publish(self._subjects.upkeep, jsontext.dumps(content).encode())

    def is_left_to_another(self, period_seconds: float) -> bool:
        """Whether another process does upkeep, so this one skips its turn."""
        if self._followed is None or not self._connection.is_connected:
            return False
        return clock.monotonic() - self._message_at < SKIPPED_PERIODS * period_seconds
