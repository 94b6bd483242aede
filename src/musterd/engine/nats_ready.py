"""Ready runs, as one process takes them from NATS: a consumer for each component and class of priority.

A process pulls. For each consumer it keeps a request that waits for the next message. When a message arrives, the
worker is called, and takes as many as it has room for. A message is acknowledged after its run was claimed, so if this
process dies before, the message is delivered to another one. If the run is already driven, that claim finds nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from musterd.core.ids import is_identifier
from musterd.engine.bus import BusListener
from musterd.engine.nats_consumer import NatsConsumer, Send
from musterd.engine.nats_stream import CLASSES, ReadyStream
from musterd.engine.nats_subjects import Subjects

KEPT_SECONDS = 0.2
"""After how long a message that the worker did not take is given back."""
RETRY_SECONDS = 1.0
ACK, GIVE_BACK = b"+ACK", b"-NAK"


class NatsHints:
    """Messages that name ready runs."""

    def __init__(self, messages: Sequence[Msg], answer: Callable[[Sequence[Msg], bytes], None]) -> None:
        self._messages = messages
        self._answer = answer
        self.run_ids = [_run_id(message.data) for message in messages]

    def done(self) -> None:
        """Acknowledge the messages: their runs are claimed, or need not be."""
        self._answer(self._messages, ACK)

    def give_back(self) -> None:
        """Have the messages delivered again, to any process."""
        self._answer(self._messages, GIVE_BACK)


def _run_id(content: bytes) -> str:
    """The run that a message names. No run has the id "", for messages of other programs that name none."""
    text = content.decode(errors="replace")
    return text if is_identifier(text) else ""


class ReadyRuns:
    """The ready runs of the components that one process drives.

    :param listener: drives runs of ``listener.components``, and is called when a message has come.
    """

    def __init__(
        self, connection: Client, subjects: Subjects, stream: ReadyStream, listener: BusListener, send: Send
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._stream = stream
        self._listener = listener
        self._send = send
        self._consumers = {
            name: {component: self._consumer(component, name) for component in listener.components} for name in CLASSES
        }
        self._kept: dict[str, list[Msg]] = {name: [] for name in CLASSES}
        """Messages that the worker has not taken yet, by class of priority."""
        self._is_lost = self._is_reopening = self._is_closed = False
        self._retry: asyncio.TimerHandle | None = None

    def _consumer(self, component: str, priority_class: str) -> NatsConsumer:
        name = f"{self._subjects.token(component)}-{priority_class}"
        return NatsConsumer(
            self._connection,
            self._subjects.stream,
            name,
            self._send,
            partial(self._keep, priority_class),
            self._reopen_soon,
        )

    # --- open and close ---------------------------------------------------------------------------

    async def open(self) -> None:
        """Create what does not exist yet, and begin to wait for messages.

        :raises NatsError: NATS does not answer, or refuses it.
        """
        await self._stream.create()
        for name, consumers in self._consumers.items():
            for component, consumer in consumers.items():
                await consumer.open(self._subjects.ready(component, name), f"{component}, priority {name}")
        self._wait_for_next()

    def reopen(self) -> None:
        """Open it again, after the connection, the stream or a consumer was lost; try until it works."""
        self._end_retry()
        self._is_lost = True  # also if it is just being opened: that may have been before the loss
        if not self._is_reopening and not self._is_closed:
            self._is_reopening = True
            self._send(self._open_again())

    async def _open_again(self) -> None:
        try:
            while self._is_lost and not self._is_closed:
                self._is_lost = False
                for consumer in self._all_consumers():
                    consumer.end_wait()  # NATS knows nothing of its request any more
                await self.open()
        except (NatsError, TimeoutError):
            self._reopen_soon()
            raise
        finally:
            self._is_reopening = False

    def _reopen_soon(self) -> None:
        if self._retry is None and not self._is_closed:  # all consumers say that they are lost with their stream
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self.reopen)

    def _end_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def close(self) -> None:
        """Take no more messages, and give back those that have come."""
        if not self._is_closed:
            self._is_closed = True
            self._end_retry()
            for consumer in self._all_consumers():
                consumer.close()
            for kept in self._kept.values():
                self._answer(kept.copy(), GIVE_BACK)
                kept.clear()

    def _all_consumers(self) -> list[NatsConsumer]:
        return [consumer for consumers in self._consumers.values() for consumer in consumers.values()]

    # --- messages ---------------------------------------------------------------------------------

    async def take(self, limit: int) -> NatsHints:
        """Take at most ``limit`` of the messages that are there, those of high priority first."""
        messages: list[Msg] = []
        for name, consumers in self._consumers.items():
            if len(messages) >= limit:
                break
            messages += self._kept[name]
            self._kept[name].clear()
            if (left := limit - len(messages)) > 0:
                fetches = [consumer.fetch(left) for consumer in consumers.values() if not consumer.is_waiting]
                for fetched in await asyncio.gather(*fetches):
                    messages += fetched
        # Each component may have had as many as there is room for.
        self._answer(messages[limit:], GIVE_BACK)
        if len(messages) < limit:  # otherwise there may be no room for the next one
            self._wait_for_next()
        return NatsHints(messages[:limit], self._answer)

    def _wait_for_next(self) -> None:
        if not self._is_closed:
            for consumer in self._all_consumers():
                consumer.wait_for_next()

    def _keep(self, name: str, message: Msg) -> None:
        """Keep a message for the worker, if it has room for the run."""
        if self._listener.has_room and not self._is_closed:
            self._kept[name].append(message)
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._give_back, name, message)
        else:
            self._answer([message], GIVE_BACK)
        # Also without room: then the worker knows that runs wait, and takes them once it has some.
        self._listener.ready_hints_arrived()

    def _give_back(self, name: str, message: Msg) -> None:
        # The worker may wait for the database, or the room is taken since.
        if message in self._kept[name]:
            self._kept[name].remove(message)
            self._answer([message], GIVE_BACK)
            self._listener.ready_hints_arrived()

    def _answer(self, messages: Sequence[Msg], answer: bytes) -> None:
        if messages:
            self._send(self._answer_each(messages, answer))

    async def _answer_each(self, messages: Sequence[Msg], answer: bytes) -> None:
        for message in messages:
            await self._connection.publish(message.reply, answer)
