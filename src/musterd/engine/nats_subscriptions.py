"""The subjects on NATS to which a process subscribes for a while, such as those of runs that its clients await."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

OnMessage = Callable[[Msg], object]
Send = Callable[[Coroutine[object, object, None]], None]


@dataclass(eq=False, slots=True)
class _Entry:
    """A subject with a subscription, or one that gets it when there is a connection."""

    subject: str
    on_message: OnMessage
    on_known: Callable[[], object]
    subscription: Subscription | None = None


class Subscriptions:
    """The subjects to which this process is subscribed.

    :param send: does something with the connection in the background.
    """

    def __init__(self, connection: Client, send: Send) -> None:
        self._connection = connection
        self._send = send
        self._entries: dict[str, _Entry] = {}
        self._is_open = False

    def open(self) -> None:
        """Subscribe from now on, and to the subjects that were requested before there was a connection."""
        self._is_open = True
        for entry in self._entries.values():
            self._send(self._subscribe(entry))

    def subscribe(self, subject: str, on_message: OnMessage, on_known: Callable[[], object]) -> None:
        """Call ``on_message`` for each message until :meth:`unsubscribe`. A second call changes nothing.

        :param on_known: called when NATS has the subscription, because earlier messages did not reach this process.
        """
        if subject not in self._entries:
            self._entries[subject] = entry = _Entry(subject, on_message, on_known)
            if self._is_open:
                self._send(self._subscribe(entry))

    async def _subscribe(self, entry: _Entry) -> None:
        async def on_message(message: Msg) -> None:
            entry.on_message(message)

        subscription = await self._connection.subscribe(entry.subject, cb=on_message)
        # Unsubscribed meanwhile, and possibly subscribed again with another entry.
        if self._entries.get(entry.subject) is not entry:
            await subscription.unsubscribe()
            return
        entry.subscription = subscription
        await self._connection.flush()
        if self._entries.get(entry.subject) is entry:
            entry.on_known()

    def unsubscribe(self, subject: str) -> None:
        """Stop receiving messages of a subject."""
        entry = self._entries.pop(subject, None)
        if entry is not None and entry.subscription is not None and not self._connection.is_closed:
            self._send(entry.subscription.unsubscribe())
