"""The checks of ``musterd doctor`` on SOURCE: whether it loads, and whether what it names is usable.

That is its models, the embedders of its knowledge bases and its MCP servers.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from pydantic_ai.models import Model

from musterd.cli.doctor_check import Check, fail, failure, ok, warn
from musterd.cli.output import counted
from musterd.cli.source import load_source
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.declare import Component, Knowledge, MCPServer, models_of
from musterd.declare.problems import redact_values, reported_together
from musterd.declare.tool_errors import RetryTool
from musterd.knowledge import embedding
from musterd.knowledge.problems import EmbedderFailed
from musterd.mcp import Servers
from musterd.models import resolve
from musterd.models.names import describe

ANSWER_SECONDS = 30.0
"""How long an MCP server may take to answer."""


async def source_checks(source: str, settings: Settings, *, connects_to_mcp: bool) -> list[Check]:
    """All checks of the components that ``source`` declares.

    :param connects_to_mcp: whether to connect to MCP servers, which starts their programs.
    """
    checks: list[Check] = []
    try:
        with reported_together():  # inside it, values of environment variables can be removed from texts
            registry = load_source(source, settings).registry
            components = registry.agents_and_teams()
            servers = {server.label: server for server in _servers(components)}
            checks += _models(components, settings)
            checks += [_embedder(knowledge, settings) for knowledge in registry.knowledge.values()]
            checks += [await _server(server, settings, connects=connects_to_mcp) for server in servers.values()]
            checks = [_without_values(check) for check in checks]
    except DeclarationError as error:
        return [*(failure("source", line) for line in error.message.splitlines()), *checks]
    counts = {
        "team": len(registry.teams),
        "agent": len(registry.agents),
        "workflow": len(registry.workflows),
        "knowledge base": len(registry.knowledge),
    }
    names = ", ".join(counted(count, noun) for noun, count in counts.items() if count)
    return [ok("source", f"{source}: {names or 'nothing to run'}"), *checks]


def _models(components: Iterable[Component], settings: Settings) -> list[Check]:
    checks: dict[str, Check] = {}
    for component in components:
        for model in models_of(component):
            name = redact_values(model) if isinstance(model, str) else _name_of(model)
            try:
                resolve.check(model, settings)
            except DeclarationError as error:
                checks[name] = failure("model", error.message)
            else:
                checks.setdefault(name, ok("model", f"{name}: known and configured"))
    return list(checks.values())


def _name_of(model: Model) -> str:
    info = describe(model)
    return f"{info.provider} {info.model}"


def _embedder(knowledge: Knowledge, settings: Settings) -> Check:
    if knowledge.search_type == "keyword":
        return ok("embedder", f"{knowledge.id}: searched by words")
    if not embedding.is_available(knowledge):
        cure = 'for vectors: pip install "musterd[knowledge]"'
        return warn("embedder", f"{knowledge.id}: searched by words alone, because its embedder is not installed", cure)
    try:
        return ok("embedder", f"{knowledge.id}: {embedding.embedder_of(knowledge, settings).name}")
    except EmbedderFailed as error:
        return failure("embedder", f"{knowledge.id}: {error}")


def _servers(components: Iterable[Component]) -> list[MCPServer]:
    sources = (source for component in components for source in component.spec.tool_sources)
    return [source for source in sources if isinstance(source, MCPServer)]


async def _server(server: MCPServer, settings: Settings, *, connects: bool) -> Check:
    servers = Servers(settings)
    try:
        servers.check(server)
        if not connects:
            return ok("mcp", f"{server.label}: declared; --mcp connects to it")
        async with asyncio.timeout(ANSWER_SECONDS):
            tools = len((await servers.tools(server)).definitions)
            return ok("mcp", f"{server.label}: {counted(tools, 'tool')}")
    except DeclarationError as error:
        return failure("mcp", error.message)
    except RetryTool as error:
        return fail("mcp", f"{server.label}: {error}", "start it, or correct its address")
    except TimeoutError:
        return fail("mcp", f"{server.label}: no answer within {ANSWER_SECONDS:g} s", "check its load")
    finally:
        await servers.close()


def _without_values(check: Check) -> Check:
    return replace(check, found=redact_values(check.found), cure=redact_values(check.cure))
