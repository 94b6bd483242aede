"""Agno's ``MCPTools`` as servers of musterd.

Agno's own classes need version 1 of the MCP SDK; with version 2, ``agno.tools.mcp`` cannot be imported. Classes with
the same constructors then take their place, which only keep their arguments: the connections are musterd's anyway.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from musterd.declare import MCPServer
from musterd.declare.source_location import Place, declaration_error

MODULE = "agno.tools.mcp"
_FLAGS = (
    *("requires_confirmation_tools", "external_execution_required_tools"),
    *("stop_after_tool_call_tools", "show_result_tools", "header_provider", "session"),
)
"""What musterd's servers do not have."""
_FIXES = {
    "header_provider": "all runs share a connection: set headers in server_params, or write a function for the tool"
}


@dataclass(frozen=True, slots=True)
class _Command:
    """A program to start: the parameters of the SDK's class for it that are used here."""

    command: str
    args: list[str]
    env: Mapping[str, str] | None = None
    cwd: str | None = None


def offer_declarations(module: ModuleType) -> None:
    """Define the classes of ``agno.tools.mcp`` in ``module`` without the MCP SDK."""
    from agno.tools import Toolkit
    from agno.tools.mcp.params import SSEClientParams, StreamableHTTPClientParams

    class _Declared(Toolkit):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            kept = {name: options.pop(name, None) for name in (*_FLAGS, "include_tools", "exclude_tools")}
            own = {name: options.pop(name, None) for name in ("instructions", "add_instructions") if name in options}
            super().__init__(name=type(self).__name__, **own)
            self.__dict__.update({**kept, "tool_name_prefix": None, "timeout_seconds": 10, **options})

    class MCPTools(_Declared):
        def __init__(self, command: str | None = None, *, url: str | None = None, **options: Any) -> None:
            super().__init__(**{"server_params": None, "transport": None, **options, "url": url})
            if command is not None:
                self.server_params = _command(command, options.get("env"))

    class MultiMCPTools(_Declared):
        def __init__(
            self, commands: list[str] | None = None, urls: list[str] | None = None, *args: Any, **options: Any
        ) -> None:
            listed = list(options.pop("server_params_list", None) or ())
            super().__init__(**options)
            listed += [_command(command, options.get("env")) for command in commands or ()]
            transports = args[0] if args else options.get("urls_transports") or ["streamable-http"] * len(urls or ())
            kinds = {"sse": SSEClientParams, "streamable-http": StreamableHTTPClientParams}
            listed += [kinds[transport](url=url) for url, transport in zip(urls or (), transports, strict=True)]
            self.server_params_list = listed

    for cls in (MCPTools, MultiMCPTools, SSEClientParams, StreamableHTTPClientParams):
        setattr(module, cls.__name__, cls)


def _command(command: str, env: Mapping[str, str] | None) -> _Command:
    program, *arguments = shlex.split(command)
    return _Command(program, arguments, env)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    """How to reach one server."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)


def mcp_servers(kit: Any, label: str, place: Place) -> list[MCPServer]:
    """The servers of Agno's ``MCPTools`` or ``MultiMCPTools``.

    :raises DeclarationError: they use what musterd's servers do not have.
    """
    name = type(kit).__name__
    for flag in _FLAGS:
        if getattr(kit, flag, None):
            problem = f"{label}: {name}({flag}=…) is not supported"
            raise declaration_error(place, problem, _FIXES.get(flag, "leave it out, or write a function for the tool"))
    parameters = getattr(kit, "server_params_list", None)
    if parameters is None:
        parameters = [kit.server_params] if kit.server_params is not None else [kit]
    if getattr(kit, "transport", None) == "sse" or any(type(one).__name__ == "SSEClientParams" for one in parameters):
        raise declaration_error(place, f"{label}: {name} uses SSE", "use the transport streamable-http")
    options = {
        "include_tools": kit.include_tools,
        "exclude_tools": kit.exclude_tools,
        "tool_name_prefix": getattr(kit, "tool_name_prefix", None) or None,
        "instructions": (kit.instructions or None) if kit.add_instructions else None,
        "timeout_seconds": float(kit.timeout_seconds or 10),
    }
    return [_server(_connection(one), options) for one in parameters]


def _connection(parameters: Any) -> _Connection:
    if getattr(parameters, "url", None):
        return _Connection(url=str(parameters.url), headers=getattr(parameters, "headers", None))
    command = (parameters.command, *(parameters.args or ()))
    cwd = None if parameters.cwd is None else str(parameters.cwd)
    return _Connection(command=command, env=parameters.env, cwd=cwd)


def _server(connection: _Connection, options: Mapping[str, Any]) -> MCPServer:
    values = {
        "command": list(connection.command) or None,
        "env": connection.env,
        "cwd": connection.cwd,
        "url": connection.url,
        "headers": connection.headers,
        **options,
    }
    return MCPServer(**{name: value for name, value in values.items() if value is not None})
