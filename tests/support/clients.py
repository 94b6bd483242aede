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

    def follow(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
        """The events of ``Client.stream``."""
        return _iterated(self.client.stream(*args, **kwargs))

    def all(self, name: str, **filters: Any) -> AsyncGenerator[Any, None]:
        """All items of a list, such as ``runs``."""
        return _iterated(getattr(self.client, name).all(**filters))


async def _iterated(items: Any) -> AsyncGenerator[Any, None]:
    """The items of an iterator. A blocking one is read in a thread."""
    if isinstance(items, AsyncGenerator):
        async with contextlib.aclosing(items) as stream:
            async for item in stream:
                yield item
        return
    while (item := await asyncio.to_thread(next, items, END)) is not END:
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
