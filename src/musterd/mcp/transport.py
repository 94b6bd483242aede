"""A client of the SDK, over a program's pipes or over HTTP. The one place that knows how the SDK connects."""

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation, ToolListChangedNotification
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

import musterd
from musterd.specs import MCPServer


@contextlib.asynccontextmanager
async def opened(
    server: MCPServer,
    on_end: Callable[[], object],
    on_tools_changed: Callable[[], Awaitable[None]],
    on_refused: Callable[[int], object],
) -> AsyncIterator[Client]:
    """A client of ``server``, ready for calls.

    :param on_end: told once the server has hung up.
    :param on_tools_changed: told when the server says that its list of tools is another.
    :param on_refused: told the status of each HTTP answer that is an error.
    """

    async def on_message(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            await on_tools_changed()

    async with contextlib.AsyncExitStack() as stack:
        if server.url is None:
            program, *arguments = server.arguments()
            parameters = StdioServerParameters(
                command=program, args=arguments, env=server.variables() or None, cwd=server.cwd
            )
            streams = stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)
        else:

            async def note_status(response: httpx2.Response) -> None:
                if response.status_code >= 400:
                    on_refused(response.status_code)

            http = await stack.enter_async_context(
                httpx2.AsyncClient(
                    headers=server.request_headers(),
                    timeout=httpx2.Timeout(server.connect_seconds, read=None),  # a call's time is its tool's
                    event_hooks={"response": [note_status]},
                )
            )
            streams = streamable_http_client(server.address(), http_client=http)
        info = Implementation(name="musterd", version=musterd.__version__)
        watched = _watched(streams, on_end)
        yield await stack.enter_async_context(Client(watched, message_handler=on_message, client_info=info))


def tells_of_changes(client: Client) -> bool:
    """Whether the server says by itself that its list of tools is another one.

    Since 2026-07-28 servers say instead how long a list holds, and the SDK keeps it that long.
    """
    said = client.server_capabilities.tools
    return client.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS and said is not None and bool(said.list_changed)


@contextlib.asynccontextmanager
async def _watched(
    transport: contextlib.AbstractAsyncContextManager[Any], on_end: Callable[[], object]
) -> AsyncIterator[tuple["_Watched", Any]]:
    async with transport as (read, write):
        yield _Watched(read, on_end), write


class _Watched:
    """A stream of messages that tells when it has ended."""

    def __init__(self, stream: Any, on_end: Callable[[], object]) -> None:
        self._stream = stream
        self._on_end = on_end

    @property
    def last_context(self) -> object:
        """The context of whoever sent the last message, where the stream knows it."""
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
