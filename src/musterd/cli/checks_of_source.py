"""What ``musterd doctor`` asks of what is declared: whether it loads, and has what it needs."""

import asyncio
from collections.abc import Iterable

from musterd.cli.checks import Check, fail, ok
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.mcp import Servers
from musterd.models import resolve
from musterd.models.names import describe
from musterd.specs import Component, MCPServer, Registry, load, models_of
from musterd.specs.tool_errors import RetryTool

PATIENCE_SECONDS = 30.0
"""How long a server of tools may take to answer."""


async def source_checks(source: str, settings: Settings, *, asks_servers: bool) -> list[Check]:
    """Every check of what ``source`` declares.

    :param asks_servers: whether MCP servers are connected to; programs are started for that.
    """
    try:
        registry = load(source)
    except DeclarationError as error:
        return [_wrong("source", DeclarationError(problem)) for problem in error.message.splitlines()]
    names = f"{len(registry.teams)} teams, {len(registry.agents)} agents"
    checks = [ok("source", f"{source}: {names}")]
    components = _components(registry)
    checks += _models(components, settings)
    servers = {server.label: server for server in _servers(components)}
    checks += [await _server(server, asks=asks_servers) for server in servers.values()]
    return checks


def _components(registry: Registry) -> list[Component]:
    tops = [*registry.teams.values(), *registry.agents.values()]
    return list(dict.fromkeys(found for top in tops for found in top.tree()))


def _models(components: Iterable[Component], settings: Settings) -> list[Check]:
    found: dict[str, Check] = {}
    for component in components:
        for model in models_of(component):
            info = describe(model)
            name = f"{info.provider} {info.model}"
            try:
                resolve.check(model, settings)
            except DeclarationError as error:
                found[name] = _wrong("model", error)
            else:
                found.setdefault(name, ok("model", f"{name}: known, and has what it needs"))
    return list(found.values())


def _servers(components: Iterable[Component]) -> list[MCPServer]:
    return [source for one in components for source in one.spec.tool_sources if isinstance(source, MCPServer)]


async def _server(server: MCPServer, *, asks: bool) -> Check:
    servers = Servers()
    try:
        servers.check(server)
        if not asks:
            return ok("mcp", f"{server.label}: declared; --mcp connects to it")
        async with asyncio.timeout(PATIENCE_SECONDS):
            return ok("mcp", f"{server.label}: {len(await servers.tools(server))} tools")
    except DeclarationError as error:
        return _wrong("mcp", error)
    except RetryTool as error:
        return fail("mcp", f"{server.label}: {error}", "start it, or correct its address")
    except TimeoutError:
        return fail("mcp", f"{server.label}: no answer within {PATIENCE_SECONDS:g} s", "see what keeps it busy")
    finally:
        await servers.close()


def _wrong(name: str, error: DeclarationError) -> Check:
    found, _, cure = error.message.partition(" — ")
    return fail(name, found, cure)
