"""A proxy that breaks connections after a number of bytes of an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

from tests.support.clients import EitherClient, either_client
from tests.support.http import ServerClient


class FlakyProxy:
    """Passes connections on to a port on loopback. The first of them are reset while they are answered.

    :param cut_after: how many bytes of its answers a connection passes on first.
    :param cuts: how many connections are reset.
    """

    def __init__(self, port: int, *, cut_after: int, cuts: int) -> None:
        self._port = port
        self._cut_after = cut_after
        self.cuts = cuts
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        serving = dict(self._serving)
        for upstream in serving.values():
            upstream.transport.abort()
        await asyncio.gather(*serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget = None
        if self.cuts > 0:
            self.cuts, budget = self.cuts - 1, self._cut_after
        answers, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = upstream
        asking = asyncio.ensure_future(_pass_on(reader, upstream))
        await _pass_on(answers, writer, budget)
        asking.cancel()
        writer.transport.abort()
        upstream.transport.abort()
        del self._serving[task]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None = None) -> None:
    """Pass bytes on until there are no more, or the budget is spent."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            if budget is not None and len(piece) > budget:
                writer.write(piece[:budget])
                return
            budget = None if budget is None else budget - len(piece)
            writer.write(piece)
            await writer.drain()


@contextlib.asynccontextmanager
async def through(
    client_kind: str, server: ServerClient, **faults: Any
) -> AsyncIterator[tuple[FlakyProxy, EitherClient]]:
    """A client of a proxy that breaks connections."""
    assert server.http.base_url.port
    async with (
        FlakyProxy(server.http.base_url.port, **faults) as proxy,
        either_client(client_kind, proxy.url) as client,
    ):
        yield proxy, client
