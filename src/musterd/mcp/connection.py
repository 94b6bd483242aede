"""The connection to one server. The first call opens it, and the first call after a loss opens it again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from musterd.core import clock, trace_context
from musterd.core.jsontypes import JsonObject
from musterd.declare import MCPServer, ToolContext
from musterd.declare.mcp_server import ServerTools
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.mcp.connection_task import ConnectionTask, ListedTools
from musterd.mcp.limits import Limits
from musterd.mcp.results import definitions_of, problems_of
from musterd.mcp.sdk import OnProgress

log = structlog.get_logger("musterd.mcp")

T = TypeVar("T")
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
_DOUBLINGS = 10
"""After so many, a delay has its longest time. A server that is away for days causes no larger exponent."""
NAMED_PROBLEMS = 5
"""How many unusable tools are named to the model and in the log."""
IDEMPOTENCY_KEY = "io.musterd/idempotency-key"
"""The entry of a request's ``_meta`` that holds the idempotency key of the call."""


class Connection:
    """Calls the tools of one server.

    After a failed attempt to connect, calls are refused for a while. The delay doubles with each failure, so that runs
    do not wait for a server that is down.
    """

    def __init__(self, server: MCPServer, limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._logged_problem = ""
        self._task: ConnectionTask | None = None
        self._failure_count = 0
        self._retry_at = 0.0
        self._failure_reason = ""

    async def tools(self) -> ServerTools:
        """The tools that the declaration selects, as the server lists them now.

        :raises RetryTool: the server cannot be reached, or its tools cannot be used.
        """
        return await self._in_session(self._listed)

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call a tool; raises as :meth:`musterd.mcp.servers.Servers.call`."""
        meta = {IDEMPOTENCY_KEY: context.idempotency_key, **trace_context.outgoing_headers()}

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            details = {"progress": progress, **({} if total is None else {"total": total})}
            context.progress(message or "", **details)

        async def made(task: ConnectionTask) -> tuple[str, bool]:
            return await self._called(task, tool, arguments, meta, on_progress)

        text, is_error = await self._in_session(made)
        if is_error:
            raise ToolFailed(self._server.without_secrets(text) or "The tool failed.")
        return text

    async def close(self) -> None:
        """Close the connection and wait until it is closed."""
        if self._task is not None:
            await self._task.close()

    async def _in_session(self, request: Callable[[ConnectionTask], Awaitable[T]]) -> T:
        """Make a request, in a new session if the server no longer knows the old one.

        :raises RetryTool: the request was not made.
        """
        task = await self._ready_task()
        try:
            return await request(task)
        except RetryTool:
            if not task.has_lost_session:
                raise
            # Since the request was not made, making it in a new session cannot repeat an effect.
            return await request(await self._ready_task())

    async def _listed(self, task: ConnectionTask) -> ServerTools:
        try:
            async with asyncio.timeout(self._server.connect_seconds):
                return self._server_tools(await task.list_tools())
        except ToolFailed as error:
            if isinstance(error, RetryTool):
                raise RetryTool(self._unreachable(str(error))) from error
            self._log_problem(str(error))
            raise RetryTool(f"The tools of the {self._server.label} cannot be used: {error}.") from error
        except (OutcomeUnknown, TimeoutError) as error:
            reason = str(error) or f"it did not list its tools within {self._server.connect_seconds:g} s"
            # Close it, so that the next run does not wait as long. Another call may have replaced it in the meantime.
            if isinstance(error, TimeoutError) and self._task is task:
                task.begin_close()
                self._note_failure(reason)
            raise RetryTool(self._unreachable(reason)) from error

    async def _called(
        self, task: ConnectionTask, tool: str, arguments: JsonObject, meta: JsonObject, on_progress: OnProgress
    ) -> tuple[str, bool]:
        try:
            return await task.call(tool, arguments, meta, on_progress)
        except RetryTool as error:
            if self._task is task and not task.has_lost_session:
                self._note_failure(str(error))
            raise RetryTool(self._unreachable(str(error))) from error
        except OutcomeUnknown as error:
            message = f"{self._server.label}: the connection was lost; the outcome of the call is unknown."
            raise OutcomeUnknown(message) from error

    async def _ready_task(self) -> ConnectionTask:
        task = self._task
        if task is None or task.is_over:
            if clock.monotonic() < self._retry_at:
                raise RetryTool(self._unreachable(self._failure_reason))
            # No await between the check and this line, so that concurrent calls share one connection.
            task = self._task = ConnectionTask(self._server, self._limits)
        try:
            await task.ready()
        except RetryTool as error:
            if self._task is task:  # many calls may wait for one connection: count its failure once
                self._note_failure(str(error))
            raise RetryTool(self._unreachable(str(error))) from error
        self._failure_count = 0
        return task

    def _server_tools(self, tool_list: ListedTools) -> ServerTools:
        """The selected tools, and a note about those that cannot be used."""
        definitions = definitions_of(tool_list.tools, self._server)
        problems = problems_of(tool_list.skipped, self._server)
        if not problems:
            return ServerTools(definitions=definitions)
        named = "; ".join(problems[:NAMED_PROBLEMS])
        more = f"; and {len(problems) - NAMED_PROBLEMS} more" if len(problems) > NAMED_PROBLEMS else ""
        self._log_problem(f"{named}{more}")
        note = f"Some tools of the {self._server.label} cannot be used: {named}{more}. This run continues without them."
        return ServerTools(definitions=definitions, note=note)

    def _log_problem(self, problem: str) -> None:
        """Log a problem with the server's tools, but only if it has changed: every run lists them."""
        if problem != self._logged_problem:
            self._logged_problem = problem
            log.warning("MCP server has unusable tools", server=self._server.known_as, problem=problem)

    def _note_failure(self, reason: str) -> None:
        self._task, self._failure_reason = None, reason
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(self._failure_count, _DOUBLINGS), LONGEST_RETRY_SECONDS)
        self._failure_count += 1
        self._retry_at = clock.monotonic() + wait
        log.warning("an MCP server cannot be reached", server=self._server.known_as, reason=reason, wait_seconds=wait)

    def _unreachable(self, reason: str) -> str:
        known_as = self._server.known_as
        prefix = f"The MCP server '{known_as}' cannot be reached"
        return reason if reason.startswith(prefix) else f"{prefix}: {reason}"
