"""Tools that are determined when a run begins: those of MCP servers, and those that a function in ``tools=`` returns.

The agent of a workflow gets its tool from the workflow's run.

The first attempt records which tools there are, and later attempts offer the same ones. If a server cannot be reached,
the run goes on without its tools and its model is told. A call of a tool that has disappeared since is a failed result.
"""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic_ai.tools import ToolDefinition

from musterd.core.error_logging import log_failure
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind
from musterd.declare import MCPServer, Tool, ToolContext, ToolFactory, ToolSource
from musterd.declare.mcp_server import ServerTools
from musterd.declare.schema_tool import schema_tool
from musterd.declare.tool_errors import RetryTool
from musterd.declare.tool_list import ToolList, read_tools
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.context_functions import known_dependencies
from musterd.loop.run_tree import RunTree, digest, fingerprint
from musterd.loop.tool_set import tools_of
from musterd.loop.user_functions import call

log = structlog.get_logger("musterd.loop")


class ToolServers(Protocol):
    """Access to MCP servers; implemented by :class:`musterd.mcp.servers.Servers`."""

    async def tools(self, server: MCPServer) -> ServerTools:
        """The server's tools.

        :raises RetryTool: if the server cannot be reached, or its tools cannot be used; the message says why.
        """
        ...

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call one of its tools, and return the result as text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTools:
    """The tools that one run has in addition to its component's.

    :param definitions: the tools that its model is offered.
    :param tools: the tools that can be called now, by name.
    :param digests: a hash of each tool's current schema, by name.
    :param notes: texts about the tools for the system message.
    """

    definitions: tuple[ToolDefinition, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Tool | None:
        """The tool with this name, if it is there."""
        return self.tools.get(name)


NO_RUN_TOOLS = RunTools()


async def run_tools(tree: RunTree, run: Assignment) -> RunTools:
    """The tools of ``run`` that are not its component's, as its first attempt recorded them.

    :raises RunFailed: if a function in ``tools=`` failed.
    """
    sources = run.component.spec.tool_sources
    if run.tools:
        assert not sources, "the agent of a workflow has no tools of its own"
        return _tools_of_workflow(run.tools)
    if not sources:
        return NO_RUN_TOOLS
    # Functions cannot be stored, so each attempt calls the factories again; the names that count are the recorded ones.
    factory_tools = {
        position: await _factory_tools(tree, run, source)
        for position, source in enumerate(sources)
        if isinstance(source, ToolFactory)
    }
    step = fingerprint(StepKind.PREPARE, run.component.id, "tools", None)
    recorded = await tree.steps.take(run.at("p/tools"), step, lambda: _list_tools(tree, run, factory_tools))
    tools: dict[str, Tool] = {}
    for position, listing in enumerate(recorded["sources"]):
        source = _current_source(sources, position, listing["of"])
        if isinstance(source, MCPServer):
            tools |= {item["name"]: _server_tool(tree, source, item) for item in listing["tools"]}
        elif source is not None:
            names = {item["name"] for item in listing["tools"]}
            tools |= {tool.name: tool for tool in factory_tools[position].tools if tool.name in names}
    items = [item for listing in recorded["sources"] for item in listing["tools"]]
    return RunTools(
        definitions=tuple(
            ToolDefinition(
                name=item["name"], description=item["description"], parameters_json_schema=item["parameters"]
            )
            for item in items
        ),
        tools=tools,
        digests={tool.name: digest(tool.name, repr(tool.parameters)) for tool in tools.values()},
        notes=tuple(listing["note"] for listing in recorded["sources"] if listing.get("note")),
    )


def _tools_of_workflow(tools: Sequence[Tool]) -> RunTools:
    return RunTools(
        definitions=tuple(
            ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
            for tool in tools
        ),
        tools={tool.name: tool for tool in tools},
        digests={tool.name: digest(tool.name, repr(tool.parameters)) for tool in tools},
    )


def _current_source(sources: Sequence[ToolSource], position: int, name: str) -> ToolSource | None:
    """Find the source of a recorded listing at its old position, or wherever a deploy has moved it; None if removed."""
    candidates = [*sources[position : position + 1], *sources]
    return next((source for source in candidates if _source_name(source) == name), None)


def _source_name(source: ToolSource) -> str:
    return source.known_as if isinstance(source, MCPServer) else "tools="


async def _list_tools(tree: RunTree, run: Assignment, factory_tools: Mapping[int, ToolList]) -> JsonObject:
    """The tools that the sources offer now, without those whose name is already in use."""
    component = run.component
    used_names = {tool.name for tool in tools_of(component)} | component.spec.reserved_tool_names
    listings = await asyncio.gather(
        *(
            _server_listing(tree, run, source)
            if isinstance(source, MCPServer)
            else _factory_listing(factory_tools[position])
            for position, source in enumerate(component.spec.tool_sources)
        )
    )
    # In the order of the declaration, whichever server answered first, so that the same source gets a contested name.
    for listing in listings:
        items = []
        for item in listing["tools"]:
            name = item["name"]
            if name in used_names:
                source = listing["of"]
                log.warning("tool ignored: its name is already in use", tool=name, component=component.id, of=source)
            else:
                used_names.add(name)
                items.append(item)
        listing["tools"] = items
    return {"sources": list(listings)}


async def _server_listing(tree: RunTree, run: Assignment, server: MCPServer) -> JsonObject:
    if tree.servers is None:
        raise AssertionError("a run with MCP servers needs RunTree.servers")
    try:
        server_tools = await tree.servers.tools(server)
        return {"of": server.known_as, "tools": server_tools.definitions, "note": server_tools.note}
    except RetryTool as error:
        log.warning(
            "a run goes on without the tools of an MCP server",
            server=server.known_as,
            component=run.component.id,
            run_id=run.run_id,
            reason=error.message,
        )
        return {"of": server.known_as, "tools": [], "note": f"{error.message} Its tools are not available in this run."}


def _server_tool(tree: RunTree, server: MCPServer, item: JsonObject) -> Tool:
    async def call(arguments: JsonObject, context: ToolContext) -> str:
        if tree.servers is None:
            raise AssertionError("a run with MCP servers needs RunTree.servers")
        return await tree.servers.call(server, item["tool"], arguments, context)

    return schema_tool(
        item["name"],
        item["description"],
        item["parameters"],
        call,
        server.declared_at,
        retry_safe=item["retry_safe"],
        retries=int(item["retry_safe"]),  # a restarted server has lost its sessions; the second call opens a new one
        timeout_seconds=server.timeout_seconds,
    )


# --- functions that return tools ------------------------------------------------------------------


async def _factory_listing(tool_list: ToolList) -> JsonObject:
    return {
        "of": "tools=",  # must equal _source_name
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in tool_list.tools
        ],
        "note": "\n\n".join(tool_list.instructions),
    }


async def _factory_tools(tree: RunTree, run: Assignment, source: ToolFactory) -> ToolList:
    """Call the function, and read the tools that it returns."""
    spec = run.component.spec
    context = ToolContext(
        run_id=run.run_id,
        root_run_id=tree.root_id,
        session_id=tree.session_id,
        user_id=tree.user_id,
        agent_id=run.component.id,
        tool_call_id="",
        idempotency_key="",
        session_state=state.copied(run.state),
        dependencies=known_dependencies(tree, run),
        metadata={**run.metadata, **tree.metadata},
    )
    try:
        has_context = "context" in inspect.signature(source.function).parameters
        returned = await call(tree.threads, source.function, {"context": context} if has_context else {})
        if not isinstance(returned, list | tuple):
            raise TypeError(f"it returned a {type(returned).__name__}, not a list")
        tool_list = read_tools(returned, spec.label, spec.declared_at)
        if tool_list.sources:
            raise TypeError("it returned an MCP server; list MCP servers in tools=")
        return tool_list
    except Exception as error:
        log_failure("the function in tools= failed", error, component=run.component.id, run_id=run.run_id)
        problem = f"The tools of {run.component.name} could not be created; see the server's log"
        raise RunFailed(problem, "tools_failed") from error
