"""The stream on NATS of messages that name ready runs."""

from nats.aio.client import Client
from nats.js import api
from nats.js.errors import BadRequestError, NoStreamResponseError

from musterd.core.records import RunRow
from musterd.engine.nats_subjects import Subjects
from musterd.engine.process_role import component_key

CLASSES = ("high", "normal", "low")
"""Priorities above 0, of 0, and below it. Within a class runs are claimed in the order in which they became ready."""
AGE_SECONDS = 3600.0
"""How long a message is kept. Upkeep has found its run long before."""


class ReadyStream:
    """The stream. A message is deleted when it is acknowledged.

    :param replicas: how many servers store each message.
    """

    def __init__(self, connection: Client, subjects: Subjects, replicas: int) -> None:
        self._subjects = subjects
        self._replicas = replicas
        self._jetstream = connection.jetstream()

    async def create(self) -> None:
        """Create the stream unless it exists.

        :raises NatsError: NATS does not answer, or refuses it.
        """
        try:
            await self._jetstream.add_stream(
                name=self._subjects.stream,
                subjects=[self._subjects.all_ready],
                retention=api.RetentionPolicy.WORK_QUEUE,
                max_age=AGE_SECONDS,
                num_replicas=self._replicas,
            )
        except BadRequestError:
            # It exists with other settings, which an operator has chosen.
            await self._jetstream.stream_info(self._subjects.stream)

    async def publish(self, run: RunRow) -> None:
        """Publish the message that names a run.

        :raises NatsError: it was not stored; upkeep finds the run.
        """
        component = component_key(run.component_kind, run.component_id)
        subject = self._subjects.ready(component, _class_of(run.priority))
        try:
            await self._jetstream.publish(subject, run.run_id.encode())
        except NoStreamResponseError:  # NATS has lost the stream
            await self.create()
            await self._jetstream.publish(subject, run.run_id.encode())


def _class_of(priority: int) -> str:
    if priority == 0:
        return "normal"
    return "high" if priority > 0 else "low"
