"""A loopback receiver of webhooks, which verifies signatures and responds as the test specifies."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from musterd.core import clock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class ReceivedWebhook:
    """A received message; its signature has been checked."""

    id: str
    message: dict[str, Any]
    headers: Mapping[str, str]
    path: str

    @property
    def type(self) -> str:
        """Its content."""
        return str(self.message["type"])


def check(body: str, headers: Mapping[str, str], secret: str | bytes = SECRET) -> None:
    """Require a signature with this secret; its time may be one that a test has set."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    assert abs(at.timestamp() - clock.now()) < 60
    signature = Webhook(secret).sign(headers["webhook-id"], at, body)
    assert signature in headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Records the messages that it received, in order.

    :param answers: the next responses (status and headers), followed by 204.
    :param gate: it responds after this is set.
    """

    port: int = 0
    taken: list[ReceivedWebhook] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    _come: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://127.0.0.1:{self.port}/hooks?key=secret"

    @property
    def event_types(self) -> list[str]:
        """The event types of the messages."""
        return [one.type for one in self.taken]

    async def has(self, count: int) -> list[ReceivedWebhook]:
        """Wait until so many messages have come."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._come:
            await self._come.wait_for(lambda: len(self.taken) >= count)
        return self.taken

    async def take(self, request: web.Request) -> web.Response:
        """Receive a message."""
        body = await request.text()
        check(body, request.headers)
        async with self._come:
            webhook = ReceivedWebhook(
                request.headers["webhook-id"], json.loads(body), dict(request.headers), request.path_qs
            )
            self.taken.append(webhook)
            self.waiting += 1
            self._come.notify_all()
        await self.gate.wait()
        self.waiting -= 1
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        return web.Response(status=status, headers=headers, text=None if status == 204 else f"answer {status}\nmore")


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    receiver.gate.set()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()
