"""Tools that a run learns of when it begins: those of MCP servers, and those that a function gives.

Which there are is of the world, so the first attempt records it, and later ones offer the same. A server that cannot
be reached costs the run its tools, and its model is told so; a tool that has gone since is a failed result.
"""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic_ai.tools import ToolDefinition

from musterd.core.error_logging import log_failure, words_of
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
from musterd.loop.run_tree import RunTree, digest, fingerprint
from musterd.loop.tool_set import tools_of
from musterd.loop.user_functions import call

log = structlog.get_logger("musterd.loop")


class ToolServers(Protocol):
    """How the loop gets at MCP servers; :class:`musterd.mcp.servers.Servers` implements it."""

    async def tools(self, server: MCPServer) -> ServerTools:
        """The server's tools.

        :raises RetryTool: it cannot be reached, or its tools cannot be used, in words.
        """
        ...

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call one of its tools; the result as text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTools:
    """What one run has beyond its component's tools.

    :param definitions: what its model is offered.
    :param tools: those that can be called, by name.
    :param digests: a hash of each one's schema as it is now, by name.
    :param notes: what its model is told of them.
    """

    definitions: tuple[ToolDefinition, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Tool | None:
        """The tool with this name, if it is there."""
        return self.tools.get(name)


NONE = RunTools()


async def run_tools(world: RunTree, run: Assignment) -> RunTools:
    """The tools of ``run`` that are not its component's, as its first attempt found them.

    :raises RunFailed: the function that gives them failed.
    """
    sources = run.component.spec.tool_sources
    if not sources:
        return NONE
    made = {
        place: await _factory_tools(world, run, source)
        for place, source in enumerate(sources)
        if isinstance(source, ToolFactory)
    }
    asked = fingerprint(StepKind.PREPARE, run.component.id, "tools", None)
    taken = await world.steps.take(run.at("p/tools"), asked, lambda: _take(world, run, made))
    found: dict[str, Tool] = {}
    for place, of_source in enumerate(taken["sources"]):
        source = _source_now(sources, place, of_source["of"])
        if isinstance(source, MCPServer):
            found |= {told["name"]: _server_tool(world, source, told) for told in of_source["tools"]}
        elif source is not None:
            names = {told["name"] for told in of_source["tools"]}
            found |= {tool.name: tool for tool in made[place].tools if tool.name in names}
    offered = [told for of_source in taken["sources"] for told in of_source["tools"]]
    return RunTools(
        definitions=tuple(
            ToolDefinition(
                name=told["name"], description=told["description"], parameters_json_schema=told["parameters"]
            )
            for told in offered
        ),
        tools=found,
        digests={tool.name: digest(tool.name, repr(tool.parameters)) for tool in found.values()},
        notes=tuple(of_source["note"] for of_source in taken["sources"] if of_source.get("note")),
    )


def _source_now(sources: Sequence[ToolSource], place: int, name: str) -> ToolSource | None:
    """The source of what was stored: the one in its place, or where a deploy has moved it; None: it is gone."""
    near = [*sources[place : place + 1], *sources]
    return next((source for source in near if _known_as(source) == name), None)


def _known_as(source: ToolSource) -> str:
    return source.known_as if isinstance(source, MCPServer) else "tools="


async def _take(world: RunTree, run: Assignment, made: Mapping[int, ToolList]) -> JsonObject:
    """What the sources offer now; a name that is taken already is left out."""
    component = run.component
    taken_names = {tool.name for tool in tools_of(component)} | component.spec.reserved_tool_names
    found = await asyncio.gather(
        *(
            _listed(world, source) if isinstance(source, MCPServer) else _told(made[place])
            for place, source in enumerate(component.spec.tool_sources)
        )
    )
    for source in found:
        kept = []
        for told in source["tools"]:
            if told["name"] in taken_names:
                log.warning("a tool's name is taken", tool=told["name"], component=component.id, of=source["of"])
            else:
                taken_names.add(told["name"])
                kept.append(told)
        source["tools"] = kept
    return {"sources": list(found)}


async def _listed(world: RunTree, server: MCPServer) -> JsonObject:
    if world.servers is None:
        raise AssertionError("a run with MCP servers is handed what calls them")
    try:
        offered = await world.servers.tools(server)
        return {"of": server.known_as, "tools": offered.definitions, "note": offered.note}
    except RetryTool as error:
        return {"of": server.known_as, "tools": [], "note": f"{error.message} Its tools are not there in this run."}


def _server_tool(world: RunTree, server: MCPServer, told: JsonObject) -> Tool:
    async def call(arguments: JsonObject, context: ToolContext) -> str:
        if world.servers is None:
            raise AssertionError("a run with MCP servers is handed what calls them")
        return await world.servers.call(server, told["tool"], arguments, context)

    return schema_tool(
        told["name"],
        told["description"],
        told["parameters"],
        call,
        server.declared_at,
        retry_safe=told["retry_safe"],
        retries=int(told["retry_safe"]),  # a server that was started anew answers the second time
        timeout_seconds=server.timeout_seconds,
    )


# --- functions that give tools --------------------------------------------------------------------


async def _told(made: ToolList) -> JsonObject:
    return {
        "of": "tools=",  # as _known_as has it
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in made.tools
        ],
        "note": "\n\n".join(made.instructions),
    }


async def _factory_tools(world: RunTree, run: Assignment, source: ToolFactory) -> ToolList:
    """What the function gives, called in each attempt: functions cannot be stored."""
    spec = run.component.spec
    context = ToolContext(
        run_id=run.run_id,
        root_run_id=world.root_id,
        session_id=world.session_id,
        user_id=world.user_id,
        agent_id=run.component.id,
        tool_call_id="",
        idempotency_key="",
        session_state=state.copied(run.state),
        dependencies={**(spec.dependencies or {}), **world.dependencies},
        metadata={**(spec.metadata or {}), **world.metadata},
    )
    try:
        has_context = "context" in inspect.signature(source.function).parameters
        given = await call(world.threads, source.function, {"context": context} if has_context else {})
        if not isinstance(given, list | tuple):
            raise TypeError(f"it gave a {type(given).__name__}, not a list")
        found = read_tools(given, spec.label, spec.declared_at)
        if found.sources:
            raise TypeError("it gave an MCP server; list that in tools=")
        return found
    except Exception as error:
        log_failure("the function in tools= failed", error, component=run.component.id, run_id=run.run_id)
        said = words_of(error)
        raise RunFailed(f"The tools of {run.component.name} could not be made: {said}", "tools_failed") from error
