"""Both clients behind one interface, so that each test of them is written once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from musterd import AsyncClient, Client
from musterd.client import Event
from tests.support.http import ServerClient

END = object()


class EitherClient:
    """A client whose calls are awaited by the test. Those of a blocking one happen in a thread.

    :param part: the client, or one of its parts such as ``client.sessions``.
    """

    def __init__(self, client: Client | AsyncClient, part: Any = None) -> None:
        self.client = client
        self._part = client if part is None else part

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        return self._awaited(value) if callable(value) else EitherClient(self.client, value)

    def _awaited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def called(*args: Any, **kwargs: Any) -> Any:
            if isinstance(self.client, AsyncClient):
                return await method(*args, **kwargs)
            return await asyncio.to_thread(method, *args, **kwargs)

        return called

    async def follow(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
        """The events of ``Client.stream``."""
        events = self.client.stream(*args, **kwargs)
        if isinstance(events, AsyncGenerator):
            async with contextlib.aclosing(events) as stream:
                async for event in stream:
                    yield event
            return
        while (item := await asyncio.to_thread(next, events, END)) is not END:
            assert isinstance(item, Event)
            yield item


Connect = Callable[..., contextlib.AbstractAsyncContextManager[tuple[ServerClient, EitherClient]]]
"""Serves the sample to a client of the package: ``async with connect(security_key="…") as (server, client)``."""


@contextlib.asynccontextmanager
async def either_client(kind: str, url: str, **options: Any) -> AsyncIterator[EitherClient]:
    """A client of the server.

    :param kind: ``sync`` or ``async``.
    """
    if kind == "sync":
        with Client(url, **options) as client:
            yield EitherClient(client)
    else:
        async with AsyncClient(url, **options) as async_client:
            yield EitherClient(async_client)
