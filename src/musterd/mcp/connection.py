"""The connection to one server: opened by the first call that needs it, and again by the first after it was lost."""

import asyncio

import structlog

from musterd.core import clock, trace_context
from musterd.core.jsontypes import JsonObject
from musterd.declare import MCPServer, ToolContext
from musterd.declare.mcp_server import ServerTools
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.mcp.connection_task import Listed, Owner
from musterd.mcp.limits import Limits
from musterd.mcp.results import definitions_of, problems_of

log = structlog.get_logger("musterd.mcp")

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
NAMED_PROBLEMS = 5
"""Of how many tools that cannot be used the model and the log are told."""
KEY = "io.musterd/idempotency-key"
"""Where a call's idempotency key stands in the ``_meta`` of its request."""


class Connection:
    """Calls the tools of one server.

    After a failed try to reach it calls are refused for a while, twice as long after each, so that runs do not wait
    for a server that is away.
    """

    def __init__(self, server: MCPServer, limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._logged_problem = ""
        self._owner: Owner | None = None
        self._failures = 0
        self._not_before = 0.0
        self._reason = ""

    async def tools(self) -> ServerTools:
        """The tools that count, as the server lists them now.

        :raises RetryTool: the server cannot be reached, or its tools cannot be used.
        """
        owner = await self._opened()
        try:
            async with asyncio.timeout(self._server.connect_seconds):
                return self._usable(await owner.list_tools())
        except ToolFailed as error:
            if isinstance(error, RetryTool):
                raise RetryTool(self._unreachable(str(error))) from error
            self._log_problem(str(error))
            raise RetryTool(f"The tools of the {self._server.label} cannot be used: {error}.") from error
        except (OutcomeUnknown, TimeoutError) as error:
            reason = str(error) or f"it does not list its tools within {self._server.connect_seconds:g} s"
            if isinstance(error, TimeoutError) and self._owner is owner:  # the next run is not to wait as long
                owner.begin_close()
                self._note_failure(reason)
            raise RetryTool(self._unreachable(reason)) from error

    async def call(self, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call a tool; raises as :meth:`musterd.mcp.servers.Servers.call`."""
        owner = await self._opened()
        meta = {KEY: context.idempotency_key, **trace_context.carried()}

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            details = {"progress": progress, **({} if total is None else {"total": total})}
            context.progress(message or "", **details)

        try:
            text, is_error = await owner.call(tool, arguments, meta, on_progress)
        except RetryTool as error:  # it was not made
            if not owner.has_forgotten_us:
                if self._owner is owner:
                    self._note_failure(str(error))
                raise RetryTool(self._unreachable(str(error))) from error
            owner.begin_close()
            text, is_error = await (await self._opened()).call(tool, arguments, meta, on_progress)
        except OutcomeUnknown as error:
            said = f"{self._server.label}: the connection was lost; whether the call took effect is not known."
            raise OutcomeUnknown(said) from error
        if is_error:
            raise ToolFailed(self._server.without_secrets(text) or "The tool failed.")
        return text

    def begin_close(self) -> None:
        """Let the connection go."""
        if self._owner is not None:
            self._owner.begin_close()

    async def close(self) -> None:
        """Wait until it is closed."""
        if self._owner is not None:
            await self._owner.closed()

    async def _opened(self) -> Owner:
        owner = self._owner
        if owner is None or owner.is_over:
            if clock.monotonic() < self._not_before:
                raise RetryTool(self._unreachable(self._reason))
            owner = self._owner = Owner(self._server, self._limits)
        try:
            await owner.ready()
        except RetryTool as error:
            if self._owner is owner:
                self._note_failure(str(error))
            raise RetryTool(self._unreachable(str(error))) from error
        self._failures = 0
        return owner

    def _usable(self, listed: Listed) -> ServerTools:
        """The tools that count, and words about those that cannot be used."""
        definitions = definitions_of(listed.tools, self._server)
        problems = problems_of(listed.skipped, self._server)
        if not problems:
            return ServerTools(definitions=definitions)
        named = "; ".join(problems[:NAMED_PROBLEMS])
        more = f"; and {len(problems) - NAMED_PROBLEMS} more" if len(problems) > NAMED_PROBLEMS else ""
        self._log_problem(f"{named}{more}")
        note = f"Some tools of the {self._server.label} cannot be used: {named}{more}. This run goes without them."
        return ServerTools(definitions=definitions, note=note)

    def _log_problem(self, problem: str) -> None:
        """Log what is wrong with the server's tools, once until it is something else: each run asks for them."""
        if problem != self._logged_problem:
            self._logged_problem = problem
            log.warning("tools of an MCP server cannot be used", server=self._server.known_as, problem=problem)

    def _note_failure(self, reason: str) -> None:
        self._owner, self._reason = None, reason
        wait = min(FIRST_WAIT_SECONDS * 2**self._failures, LONGEST_WAIT_SECONDS)
        self._failures += 1
        self._not_before = clock.monotonic() + wait
        log.warning("an MCP server cannot be reached", server=self._server.known_as, reason=reason, wait_seconds=wait)

    def _unreachable(self, reason: str) -> str:
        known_as = self._server.known_as
        prefix = f"The MCP server '{known_as}' cannot be reached"
        return reason if reason.startswith(prefix) else f"{prefix}: {reason}"
