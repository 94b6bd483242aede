"""The task that owns a connection: it opens it, waits for its end, and closes it.

The SDK's connections are task groups: whoever enters one has to leave it. Runs come and go, so none of them may.
"""

import asyncio
import contextlib
import functools
import importlib
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from musterd.core.jsontypes import JsonObject
from musterd.specs import MCPServer
from musterd.specs.tool_errors import OutcomeUnknown, RetryTool, ToolFailed

if TYPE_CHECKING:
    from mcp import Client, MCPError
    from mcp.types import CallToolResult, Tool

log = structlog.get_logger("musterd.mcp")

T = TypeVar("T")
OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]
CLOSE_SECONDS = 5.0
# What the SDK says in place of the status of an HTTP answer.
_WORDS_FOR_A_STATUS = frozenset({"Not Found", "Server returned an error response"})


class Owner:
    """One connection, from its opening to its end.

    ``has_forgotten_us`` says that the server knows nothing of the connection any more: it was started anew.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        self._leave = asyncio.Event()
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._calls = 0
        self._listed: list[Tool] | None = None
        self.has_forgotten_us = False
        self._refused_with = 0
        # In a context of its own: it outlives the run that needed it first.
        self._task = asyncio.create_task(self._own(), name=f"mcp {server.known_as}", context=Context())
        self._task.add_done_callback(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether no call can be made any more."""
        return self._task.done() or self._leave.is_set()

    def begin_close(self) -> None:
        """Have the connection closed."""
        self._leave.set()

    async def closed(self) -> None:
        """Wait until it is closed."""
        self._leave.set()
        if not self._client.done():
            self._task.cancel()
        _, stuck = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        for task in stuck:
            task.cancel()

    async def ready(self) -> "Client":
        """The client, once the connection is open.

        :raises RetryTool: it could not be opened, in words.
        """
        if not self._client.done():
            either: list[asyncio.Future[Any]] = [self._task, self._client]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._client.done():
            return self._client.result()
        raise RetryTool(self._words(self._failure()))

    async def list_tools(self) -> "list[Tool]":
        """Ask for the list of tools, page by page; where the server tells of changes, once until it does."""
        from musterd.mcp.transport import tells_of_changes

        client = await self.ready()
        if self._listed is not None:
            return self._listed
        found: list[Tool] = []
        cursor: str | None = None
        while True:
            page = await self._made(functools.partial(client.list_tools, cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        self._listed = found if tells_of_changes(client) else None
        return found

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> "CallToolResult":
        """Call a tool.

        :raises ToolFailed: the server refused it.
        :raises RetryTool: the request was not sent, or the server did not take it.
        :raises OutcomeUnknown: nobody can say whether it happened.
        """
        client = await self.ready()
        return await self._made(
            lambda: client.call_tool(tool, arguments, progress_callback=on_progress, meta=meta)  # type: ignore[arg-type]
        )

    async def _made(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request, and say what its failure means for what it asked."""
        from mcp.shared.exceptions import MCPError
        from pydantic import ValidationError

        if self.is_over:
            raise RetryTool("the connection was closed")
        is_alone = self._calls == 0
        self._calls += 1
        self._refused_with = 0
        try:
            return await request()
        except MCPError as error:
            raise await self._meaning(error, is_alone=is_alone and self._calls == 1) from error
        except (ValidationError, RuntimeError) as error:  # an answer came, and has not the form that it must have
            said = self._server.without_secrets(f"The call was made; its answer cannot be read: {error}")
            raise ToolFailed(said) from error
        finally:
            self._calls -= 1

    async def _meaning(self, error: "MCPError", *, is_alone: bool) -> Exception:
        from mcp.types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST

        if error.code == INVALID_REQUEST and error.message == "Session terminated":  # the SDK's words for a 404
            self.has_forgotten_us = True
            return RetryTool("it was started anew")
        if error.code == CONNECTION_CLOSED and error.message != "Connection closed":  # of this call alone, over HTTP
            return OutcomeUnknown(self._words(error))
        if error.code == CONNECTION_CLOSED:
            self._leave.set()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            failure = self._failure() if self._task.done() else None
            if is_alone and failure is not None and _was_never_sent(failure):
                return RetryTool(self._words(failure))
            return OutcomeUnknown(self._words(failure or error))
        is_gateways = error.code == INTERNAL_ERROR and self._refused_with >= 500
        if is_gateways:
            return OutcomeUnknown(f"it answered {self._refused_with}")
        return ToolFailed(self._words(error))

    # --- the task ---------------------------------------------------------------------------------

    async def _own(self) -> None:
        # The SDK takes half a second to import: in a thread, others' runs go on.
        transport = await asyncio.to_thread(importlib.import_module, "musterd.mcp.transport")
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._server.connect_seconds):
                client = await stack.enter_async_context(
                    transport.opened(self._server, self._leave.set, self._tools_changed, self._refused)
                )
            self._client.set_result(client)
            await self._leave.wait()

    async def _tools_changed(self) -> None:
        self._listed = None

    def _refused(self, status: int) -> None:
        self._refused_with = status

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._leave.set()
        error = None if task.cancelled() else task.exception()
        if self._client.done() and error is not None:
            log.warning("an MCP server's connection broke", server=self._server.known_as, reason=self._words(error))

    def _failure(self) -> BaseException | None:
        return None if self._task.cancelled() else self._task.exception()

    def _words(self, error: BaseException | None) -> str:
        """An error for people: of several that came together the first, and nothing that is secret."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is None:
            return "the connection was closed"
        if self._refused_with and str(error) in _WORDS_FOR_A_STATUS:
            return f"it answered {self._refused_with}"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._server.connect_seconds:g} s"
        return self._server.without_secrets(str(error) or type(error).__name__)


def _was_never_sent(error: BaseException) -> bool:
    """Whether a connection broke before anything was sent over it."""
    import httpx2

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
