"""Opens a connection to a server: over the pipes of a program, or over HTTP."""

import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from musterd.declare import MCPServer
from musterd.mcp.http import http_client
from musterd.mcp.messages import Inbox
from musterd.mcp.sdk import Session, Transport, installed
from musterd.mcp.stdio import program_streams


@contextlib.asynccontextmanager
async def open_session(server: MCPServer, inbox: Inbox, on_end: Callable[[], object]) -> AsyncIterator[Session]:
    """A session with ``server``, ready for calls.

    :param inbox: checks the server's messages.
    :param on_end: called when the server has closed the connection.
    """
    sdk = installed()
    async with contextlib.AsyncExitStack() as stack:
        if server.url is None:
            streams: Transport = program_streams(server, inbox, sdk)
        else:
            client = await stack.enter_async_context(http_client(server, inbox, sdk))
            streams = sdk.http_transport(server.address(), client)
        yield await stack.enter_async_context(sdk.connected(_watched(streams, on_end)))


@contextlib.asynccontextmanager
async def _watched(transport: Transport, on_end: Callable[[], object]) -> AsyncIterator[tuple["_Watched", Any]]:
    async with transport as (read, write, *_):
        yield _Watched(read, on_end), write


class _Watched:
    """A stream of messages that calls ``on_end`` when it ends."""

    def __init__(self, stream: Any, on_end: Callable[[], object]) -> None:
        self._stream = stream
        self._on_end = on_end

    @property
    def last_context(self) -> object:
        """The context in which the last message was sent, if the stream has it."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        return await self._stream.receive()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._on_end()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        suppressed: bool | None = await self._stream.__aexit__(kind, error, trace)
        return suppressed
