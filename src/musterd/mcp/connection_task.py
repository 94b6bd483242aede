"""The task that owns a connection: it opens it, waits for its end, and closes it.

The SDK's connections are task groups: whoever enters one has to leave it. Runs come and go, so none of them may.
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
    """A server answered, and its answer cannot be used, in words."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A server's list of tools.

    :param tools: as the protocol writes them.
    :param skipped: those that cannot be used: ``name`` and, in words, ``problem``.
    """

    tools: tuple[JsonObject, ...]
    skipped: tuple[JsonObject, ...]


class Owner:
    """One connection, from its opening to its end.

    ``has_forgotten_us`` says that the server knows nothing of the connection any more: it was started anew.
    """

    def __init__(self, server: MCPServer, limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._leave = asyncio.Event()
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._listed: Listed | None = None
        self._inbox = Inbox(limits, self._tools_changed)
        self.has_forgotten_us = False
        # In a context of its own: it outlives the run that needed it first.
        self._task = asyncio.create_task(self._own(), name=f"mcp {server.known_as}", context=Context())
        self._task.add_done_callback(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether no call can be made any more."""
        return self._task.done() or self._leave.is_set() or self._inbox.is_broken

    def begin_close(self) -> None:
        """Have the connection closed."""
        self._leave.set()

    async def closed(self) -> None:
        """Wait until it is closed."""
        self._leave.set()
        if not self._session.done():
            self._task.cancel()
        _, stuck = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        for task in stuck:
            task.cancel()

    async def ready(self) -> Session:
        """The session, once the connection is open.

        :raises RetryTool: it could not be opened, in words.
        """
        if not self._session.done():
            either: list[asyncio.Future[Any]] = [self._task, self._session]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._session.done():
            if self.is_over:
                raise RetryTool("the connection was closed")
            return self._session.result()
        raise RetryTool(self._words(self._failure()))

    async def list_tools(self) -> Listed:
        """Ask for the list of tools, page by page; if the server tells of changes, once until it does.

        :raises ToolFailed: the server refused to give it, or it cannot be used.
        """
        session = await self.ready()
        if self._listed is not None:
            return self._listed
        tools: list[JsonObject] = []
        skipped: list[JsonObject] = []
        size, cursor = 0, None
        while True:
            page = await self._made(session.list_tools(cursor))
            meta = page.get("_meta", {})
            tools += page["tools"]
            skipped += meta.get(SKIPPED_TOOLS, [])
            size += meta.get(LIST_BYTES, 0)
            if len(tools) + len(skipped) > self._limits.tools:
                raise UnusableAnswer(too_many_tools(self._limits))
            if size > self._limits.message_bytes:
                raise UnusableAnswer(self._inbox.too_long)
            cursor = page.get("nextCursor")
            if not cursor:
                break
        listed = Listed(tuple(tools), tuple(skipped))
        self._listed = listed if self._inbox.tells_of_changes else None
        return listed

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        """Call a tool: its result as text, and whether the server calls it an error.

        :raises ToolFailed: the server refused it, or its answer cannot be used.
        :raises RetryTool: the request was not sent, or the server did not take it.
        :raises OutcomeUnknown: nobody can say whether it happened.
        """
        session = await self.ready()
        try:
            return await self._made(session.call_tool(tool, arguments, meta, on_progress))
        except UnusableAnswer as error:
            raise ToolFailed(f"The call was made; its answer cannot be used: {error}.") from error

    async def _made(self, request: Awaitable[T]) -> T:
        """Await a request, and say what its failure means for what it asked."""
        try:
            return await request
        except SdkError as error:
            raise await self._meaning(error) from error
        except UnreadableAnswer as error:
            raise UnusableAnswer(self._words(error)) from error

    async def _meaning(self, error: SdkError) -> Exception:
        cause = cause_of(error.data)
        if cause is Cause.FORGOTTEN:
            self.has_forgotten_us = True
            return RetryTool(self._words(error))
        if cause is Cause.NOT_SENT:
            self._leave.set()
            return RetryTool(self._words(error))
        if cause is Cause.UNUSABLE:
            return UnusableAnswer(self._words(error))
        if cause is Cause.LOST:
            return OutcomeUnknown(self._words(error))
        from musterd.mcp.sdk import installed

        if cause is None and error.code == installed().CONNECTION_CLOSED:  # the SDK's own: a server's has a cause
            self._leave.set()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
            failure = self._failure() if self._task.done() else None
            return OutcomeUnknown(self._words(failure or error))
        return ToolFailed(self._words(error))

    # --- the task ---------------------------------------------------------------------------------

    async def _own(self) -> None:
        transport = await asyncio.to_thread(_load_transport)
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._server.connect_seconds):
                session = await stack.enter_async_context(transport.opened(self._server, self._inbox, self._leave.set))
            self._session.set_result(session)
            await self._leave.wait()

    def _tools_changed(self) -> None:
        self._listed = None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._leave.set()
        error = None if task.cancelled() else task.exception()
        if self._session.done() and error is not None:
            log.warning("an MCP server's connection broke", server=self._server.known_as, reason=self._words(error))

    def _failure(self) -> BaseException | None:
        return None if self._task.cancelled() else self._task.exception()

    def _words(self, error: BaseException | None) -> str:
        """An error for people: of several that came together the first, and nothing that is secret."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        is_of_the_end = error is None or (isinstance(error, SdkError) and cause_of(error.data) is None)
        if self._inbox.is_broken and is_of_the_end:
            return f"it wrote a message that cannot be read: {self._inbox.too_long}"
        if error is None:
            return "the connection was closed"
        if isinstance(error, TimeoutError):
            return f"no answer within {self._server.connect_seconds:g} s"
        return self._server.without_secrets(str(error) or type(error).__name__)


def _load_transport() -> ModuleType:
    """Import what opens connections, and with it the SDK: that takes half a second, so not on the event loop."""
    transport = importlib.import_module("musterd.mcp.transport")
    transport.installed()
    return transport
