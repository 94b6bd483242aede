"""What ``musterd doctor`` asks of what is declared: whether it loads, and has what it needs."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from musterd.cli.doctor_check import Check, fail, ok
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.declare import Component, MCPServer, Registry, load, models_of
from musterd.declare.problems import reported_together, without_values
from musterd.declare.tool_errors import RetryTool
from musterd.mcp import Servers
from musterd.models import resolve
from musterd.models.names import describe

PATIENCE_SECONDS = 30.0
"""How long a server of tools may take to answer."""


async def source_checks(source: str, settings: Settings, *, asks_servers: bool) -> list[Check]:
    """Every check of what ``source`` declares.

    :param asks_servers: whether MCP servers are connected to; programs are started for that.
    """
    checks: list[Check] = []
    try:
        with reported_together():  # until its end, texts can be printed without the values of variables
            registry = load(source)
            components = _components(registry)
            servers = {server.label: server for server in _servers(components)}
            checks += _models(components, settings)
            checks += [await _server(server, settings, asks=asks_servers) for server in servers.values()]
            checks = [replace(one, found=without_values(one.found), cure=without_values(one.cure)) for one in checks]
    except DeclarationError as error:
        return [*(_wrong("source", problem) for problem in error.message.splitlines()), *checks]
    names = f"{len(registry.teams)} teams, {len(registry.agents)} agents"
    return [ok("source", f"{source}: {names}"), *checks]


def _components(registry: Registry) -> list[Component]:
    tops = [*registry.teams.values(), *registry.agents.values()]
    return list(dict.fromkeys(found for top in tops for found in top.tree()))


def _models(components: Iterable[Component], settings: Settings) -> list[Check]:
    found: dict[str, Check] = {}
    for component in components:
        for model in models_of(component):
            info = describe(model)
            name = f"{info.provider} {info.model}"
            if isinstance(model, str) and without_values(model) != model:
                name = without_values(model)
            try:
                resolve.check(model, settings)
            except DeclarationError as error:
                found[name] = _wrong("model", error.message)
            else:
                found.setdefault(name, ok("model", f"{name}: known, and has what it needs"))
    return list(found.values())


def _servers(components: Iterable[Component]) -> list[MCPServer]:
    return [source for one in components for source in one.spec.tool_sources if isinstance(source, MCPServer)]


async def _server(server: MCPServer, settings: Settings, *, asks: bool) -> Check:
    servers = Servers(settings)
    try:
        servers.check(server)
        if not asks:
            return ok("mcp", f"{server.label}: declared; --mcp connects to it")
        async with asyncio.timeout(PATIENCE_SECONDS):
            return ok("mcp", f"{server.label}: {len((await servers.tools(server)).definitions)} tools")
    except DeclarationError as error:
        return _wrong("mcp", error.message)
    except RetryTool as error:
        return fail("mcp", f"{server.label}: {error}", "start it, or correct its address")
    except TimeoutError:
        return fail("mcp", f"{server.label}: no answer within {PATIENCE_SECONDS:g} s", "see what keeps it busy")
    finally:
        await servers.close()


def _wrong(name: str, problem: str) -> Check:
    found, _, cure = problem.partition(" — ")
    return fail(name, found, cure)
