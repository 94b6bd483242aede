"""What a process hears on NATS beside hints about ready runs: subjects that it subscribes to and forgets again."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

OnMessage = Callable[[Msg], object]
Send = Callable[[Coroutine[object, object, None]], None]


@dataclass(eq=False, slots=True)
class _Heard:
    """A subject that is heard, or will be once there is a connection."""

    subject: str
    on_message: OnMessage
    on_known: Callable[[], object]
    subscription: Subscription | None = None


class Subscriptions:
    """The subjects that this process hears.

    :param send: does something with the connection in the background.
    """

    def __init__(self, connection: Client, send: Send) -> None:
        self._connection = connection
        self._send = send
        self._heard: dict[str, _Heard] = {}
        self._is_open = False

    def open(self) -> None:
        """Subscribe from now on, also to what is heard since before there was a connection."""
        self._is_open = True
        for heard in self._heard.values():
            self._send(self._subscribe(heard))

    def hear(self, subject: str, on_message: OnMessage, on_known: Callable[[], object]) -> None:
        """Call ``on_message`` for each message until :meth:`forget`. Calling it again changes nothing.

        :param on_known: called once NATS knows of the subscription: earlier messages did not reach this process.
        """
        if subject not in self._heard:
            self._heard[subject] = heard = _Heard(subject, on_message, on_known)
            if self._is_open:
                self._send(self._subscribe(heard))

    async def _subscribe(self, heard: _Heard) -> None:
        async def on_message(message: Msg) -> None:
            heard.on_message(message)

        subscription = await self._connection.subscribe(heard.subject, cb=on_message)
        # Forgotten meanwhile, and possibly heard again with a subscription of its own.
        if self._heard.get(heard.subject) is not heard:
            await subscription.unsubscribe()
            return
        heard.subscription = subscription
        await self._connection.flush()
        if self._heard.get(heard.subject) is heard:
            heard.on_known()

    def forget(self, subject: str) -> None:
        """Stop hearing a subject."""
        heard = self._heard.pop(subject, None)
        if heard is not None and heard.subscription is not None and not self._connection.is_closed:
            self._send(heard.subscription.unsubscribe())
