"""One consumer of ready runs on NATS, as one process pulls from it.

A request for messages has a reply subject of its own. Messages come with the subject under which they were published,
so only the subscription says which kind of request they answer; statuses come with the request's own reply subject.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api

from musterd.core import jsontext

log = structlog.get_logger("musterd.engine")

ACK_SECONDS = 10.0
"""After how long a message that was not acknowledged is delivered again."""
WAIT_SECONDS = 30.0
"""How long a request waits for the next message."""
ANSWER_SECONDS = 1.0
"""How long NATS may take to answer a request for the messages that are there."""
NEXT = "$JS.API.CONSUMER.MSG.NEXT"
NO_MESSAGES, EXPIRED = "404", "408"

Send = Callable[[Coroutine[object, object, None]], None]
"""Sends something in a task of its own. A failure is logged."""


class _Requests:
    """The requests of one kind, of which one at a time is under way."""

    def __init__(self, connection: Client, subject: str, on_message: Callable[[Msg, str | None], None]) -> None:
        self._connection = connection
        self._subject = subject
        self._on_message = on_message
        self._inbox = connection.new_inbox()
        self._numbers = itertools.count()
        self._current = ""
        self.subscription: Subscription | None = None

    async def open(self) -> None:
        if self.subscription is None:
            self.subscription = await self._connection.subscribe(f"{self._inbox}.*", cb=self._come)

    async def begin(self, options: dict[str, int]) -> None:
        self._current = f"{self._inbox}.{next(self._numbers)}"
        await self._connection.publish(self._subject, jsontext.dumps(options).encode(), self._current)

    async def _come(self, message: Msg) -> None:
        status = JetStreamContext.is_status_msg(message)
        if status is None or message.subject == self._current:  # otherwise the end of an earlier request
            self._on_message(message, status)


class NatsConsumer:
    """The ready runs of one component and class of priority.

    :param on_next: called with each message that was waited for.
    :param on_lost: called when NATS says that the consumer, or its stream, does not exist.
    """

    def __init__(
        self,
        connection: Client,
        stream: str,
        name: str,
        send: Send,
        on_next: Callable[[Msg], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._send = send
        self._on_next = on_next
        self._on_lost = on_lost
        subject = f"{NEXT}.{stream}.{name}"
        self._waiting = _Requests(connection, subject, self._next_came)
        self._fetching = _Requests(connection, subject, self._fetched)
        self._stream, self._name = stream, name
        self._jetstream = connection.jetstream()
        self._timer: asyncio.TimerHandle | None = None
        self._limit = 0
        self._messages: list[Msg] = []
        self._is_done = asyncio.Event()

    async def open(self, subject: str, description: str) -> None:
        """Create the consumer unless it exists.

        :raises NatsError: NATS does not answer, or refuses it.
        """
        await self._jetstream.add_consumer(
            self._stream,
            durable_name=self._name,
            description=description,
            filter_subject=subject,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_ack_pending=-1,
        )
        await self._waiting.open()
        await self._fetching.open()

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits. If so, a fetch finds nothing: NATS would have answered the request first."""
        return self._timer is not None

    def end_wait(self) -> None:
        """Note that no request waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Receive nothing more."""
        self.end_wait()
        for requests in (self._waiting, self._fetching):
            if requests.subscription is not None:
                self._send(requests.subscription.unsubscribe())

    # --- the next message -------------------------------------------------------------------------

    def wait_for_next(self) -> None:
        """Have the next message delivered, unless a request waits for it already."""
        if not self.is_waiting:
            # NATS says when the request has expired, unless that is lost with the connection.
            again = WAIT_SECONDS + ANSWER_SECONDS
            self._timer = asyncio.get_running_loop().call_later(again, self._wait_again)
            self._send(self._waiting.begin({"batch": 1, "expires": int(WAIT_SECONDS * 1e9)}))

    def _wait_again(self) -> None:
        self.end_wait()
        self.wait_for_next()

    def _next_came(self, message: Msg, status: str | None) -> None:
        was_waiting = self.is_waiting
        self.end_wait()
        if status is None:
            self._on_next(message)
        elif was_waiting and status in (NO_MESSAGES, EXPIRED):
            self.wait_for_next()
        elif was_waiting:
            self._on_lost()

    # --- the messages that are there --------------------------------------------------------------

    async def fetch(self, limit: int) -> list[Msg]:
        """The messages that are there, at most ``limit``. One fetch at a time."""
        self._limit, self._messages = limit, []
        self._is_done.clear()
        await self._fetching.begin({"batch": limit, "no_wait": True})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._is_done.wait()
        except TimeoutError:
            log.debug("NATS does not say which runs are ready", consumer=self._name)
        messages, self._messages, self._limit = self._messages, [], 0
        return messages

    def _fetched(self, message: Msg, status: str | None) -> None:
        if status is None and self._limit == 0:  # too late for its fetch
            self._on_next(message)
        elif status is None:
            self._messages.append(message)
        if status is not None or len(self._messages) == self._limit:
            self._is_done.set()
