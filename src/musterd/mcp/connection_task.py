"""The task that owns a connection: it opens it, waits until it ends, and closes it.

The SDK's connections are task groups, and the task that enters a task group must also leave it. A run may end before
the connection does, so the task of a run cannot own it.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable
from contextvars import Context
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import structlog

from musterd.core.jsontypes import JsonObject
from musterd.core.threads import in_thread
from musterd.declare import MCPServer
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.mcp.limits import Limits
from musterd.mcp.messages import Cause, Inbox, cause_of
from musterd.mcp.results import LIST_BYTES, SKIPPED_TOOLS, too_many_tools
from musterd.mcp.sdk import OnProgress, SdkError, Session, UnreadableAnswer

log = structlog.get_logger("musterd.mcp")

T = TypeVar("T")
CLOSE_SECONDS = 5.0


class UnusableAnswer(ToolFailed):
    """A server answered, but its answer cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ListedTools:
    """A server's list of tools.

    :param tools: the usable tools, in the protocol's form.
    :param skipped: the unusable tools: ``name``, and ``problem`` as text.
    """

    tools: tuple[JsonObject, ...]
    skipped: tuple[JsonObject, ...]


class ConnectionTask:
    """One connection, from opening to closing.

    After a request that did not reach the server, no more requests are made, and the connection is closed when those in
    flight have ended.

    :ivar has_lost_session: whether the server no longer knows the session, because it was restarted or the session
        expired.
    """

    def __init__(self, server: MCPServer, limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._closing = asyncio.Event()
        # A future beside the task's result, because the task runs on after the connection is open.
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._tool_list: ListedTools | None = None
        self._inbox = Inbox(limits, self._tools_changed)
        self.has_lost_session = False
        self._is_draining = False
        self._request_count = 0
        # It gets its own context, because it outlives the run that opened it.
        self._task = asyncio.create_task(self._run(), name=f"mcp {server.known_as}", context=Context())
        self._task.add_done_callback(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether no more calls can be made."""
        return self._task.done() or self._closing.is_set() or self._inbox.is_broken or self._is_draining

    def begin_close(self) -> None:
        """Start to close the connection; do not wait."""
        self._closing.set()

    async def close(self) -> None:
        """Close the connection and wait until it is closed."""
        self._closing.set()
        if not self._session.done():  # still connecting: the task does not wait for _closing yet
            self._task.cancel()
        # Bounded: a server that does not close must not keep this process from stopping.
        _, stuck = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        for task in stuck:
            task.cancel()
            await asyncio.wait([task], timeout=CLOSE_SECONDS)

    async def ready(self) -> Session:
        """The session, once the connection is open.

        :raises RetryTool: the connection could not be opened; the message says why.
        """
        if not self._session.done():
            # Both, because a task that fails to connect never sets the session.
            either: list[asyncio.Future[Any]] = [self._task, self._session]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._session.done():
            if self.is_over:
                raise RetryTool("the connection was closed")
            return self._session.result()
        raise RetryTool(self._reason(self._failure()))

    async def list_tools(self) -> ListedTools:
        """Fetch the list of tools, page by page. If the server announces changes, it is kept until then.

        :raises ToolFailed: the server refused, or the list cannot be used.
        """
        session = await self.ready()
        if self._tool_list is not None:
            return self._tool_list
        tools: list[JsonObject] = []
        skipped: list[JsonObject] = []
        size, cursor = 0, None
        while True:
            page = await self._answer_to(session.list_tools(cursor))
            meta = page.get("_meta", {})
            tools += page["tools"]
            skipped += meta.get(SKIPPED_TOOLS, [])
            size += meta.get(LIST_BYTES, 0)
            # After each page: the inbox limits a page, and here the list as a whole has the same limits.
            if len(tools) + len(skipped) > self._limits.tools:
                raise UnusableAnswer(too_many_tools(self._limits))
            if size > self._limits.message_bytes:
                raise UnusableAnswer(self._inbox.too_long)
            cursor = page.get("nextCursor")
            if not cursor:
                break
        tool_list = ListedTools(tuple(tools), tuple(skipped))
        self._tool_list = tool_list if self._inbox.announces_changes else None
        return tool_list

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        """Call a tool and return its result as text, and whether the server marked it as an error.

        :raises ToolFailed: the server refused the call, or its answer cannot be used.
        :raises RetryTool: the request was not sent, or the server did not accept it.
        :raises OutcomeUnknown: it is not known whether the call took effect.
        """
        session = await self.ready()
        try:
            return await self._answer_to(session.call_tool(tool, arguments, meta, on_progress))
        except UnusableAnswer as error:
            raise ToolFailed(f"The call was made, but its answer cannot be used: {error}.") from error

    async def _answer_to(self, request: Awaitable[T]) -> T:
        """Await a request, and turn a failure into an exception that says whether it took effect."""
        self._request_count += 1
        try:
            return await request
        except SdkError as error:
            raise await self._translated(error) from error
        except UnreadableAnswer as error:
            raise UnusableAnswer(self._reason(error)) from error
        finally:
            self._request_count -= 1
            # Not before: closing would leave the outcome of the other requests unknown.
            if self._is_draining and not self._request_count:
                self._closing.set()

    async def _translated(self, error: SdkError) -> Exception:
        cause = cause_of(error.data)
        if cause in (Cause.FORGOTTEN, Cause.NOT_SENT):
            self._is_draining = True
            self.has_lost_session |= cause is Cause.FORGOTTEN
            return RetryTool(self._reason(error))
        if cause is Cause.UNUSABLE:
            return UnusableAnswer(self._reason(error))
        if cause is Cause.LOST:
            return OutcomeUnknown(self._reason(error))
        from musterd.mcp.sdk import installed

        # Without a cause the SDK itself made the error: the inbox adds one to a server's error with this code.
        if cause is None and error.code == installed().CONNECTION_CLOSED:
            self._closing.set()  # the task's own exception, once it has ended, gives a better reason
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            failure = self._failure() if self._task.done() else None
            return OutcomeUnknown(self._reason(failure or error))
        return ToolFailed(self._reason(error))

    # --- the task ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        transport = await in_thread(_load_transport)
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._server.connect_seconds):
                opening = transport.open_session(self._server, self._inbox, self._closing.set)
                session = await stack.enter_async_context(opening)
            self._session.set_result(session)
            await self._closing.wait()

    def _tools_changed(self) -> None:
        self._tool_list = None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._closing.set()
        # Read in any case: asyncio would log an exception that was never retrieved.
        error = None if task.cancelled() else task.exception()
        if self._session.done() and error is not None:
            log.warning("connection to an MCP server failed", server=self._server.known_as, reason=self._reason(error))

    def _failure(self) -> BaseException | None:
        return None if self._task.cancelled() else self._task.exception()

    def _reason(self, error: BaseException | None) -> str:
        """An error as text for people, without secrets; of an exception group the first error."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        is_closed = error is None or (isinstance(error, SdkError) and cause_of(error.data) is None)
        if self._inbox.is_broken and is_closed:
            return f"it wrote a message that cannot be read: {self._inbox.too_long}"
        if error is None:
            return "the connection was closed"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._server.connect_seconds:g} s"
        return self._server.without_secrets(str(error) or type(error).__name__)


def _load_transport() -> ModuleType:
    """Import the transport and with it the SDK. That takes half a second, so it must not happen on the event loop."""
    transport = importlib.import_module("musterd.mcp.transport")
    transport.installed()
    return transport
