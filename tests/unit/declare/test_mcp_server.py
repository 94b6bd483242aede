"""Servers of tools, declared."""

from __future__ import annotations

from typing import Any

import pytest

from musterd import Agent, MCPServer
from musterd.core.errors import DeclarationError
from musterd.declare import load
from tests.unit.declare.conftest import Project


def test_variables_are_filled_when_the_server_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    server = MCPServer(
        url="https://${HOST:-mcp.example}/mcp?key=${TOKEN}", headers={"Authorization": "Bearer ${TOKEN}"}
    )
    assert server.address() == "https://mcp.example/mcp?key=s3cret"
    assert server.request_headers() == {"Authorization": "Bearer s3cret"}
    monkeypatch.setenv("TOKEN", "n3wer")
    assert server.request_headers() == {"Authorization": "Bearer n3wer"}
    assert server.without_secrets("GET https://mcp.example/mcp?key=n3wer: Bearer n3wer") == (
        "GET https://…/mcp?key=…: …"
    )
    assert (repr(server), server.label) == ("MCPServer('${HOST:-mcp.example}')", "MCP server '${HOST:-mcp.example}'")


def test_a_command_is_words_or_one_line() -> None:
    assert MCPServer(command="uvx 'my server' --x").arguments() == ["uvx", "my server", "--x"]
    assert MCPServer(command=["/opt/bin/server", "a b"]).known_as == "server"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "MCP server '' has neither command nor url"),
        ({"name": "x", "command": "a", "url": "b"}, "MCP server 'x' has command and url"),
        ({"command": "a", "headers": {}}, "MCP server 'a' has command and headers — remove headers"),
        ({"url": "https://h/mcp", "env": {}}, "MCP server 'h' has url and env — remove env"),
        ({"command": "a ${NOT_SET_ANYWHERE}"}, "the environment variable NOT_SET_ANYWHERE is not set"),
        ({"command": 5}, "'command' is 5 — use a string or a list of strings"),
        ({"command": b"a"}, "'command' is "),
        ({"url": 5}, "'url' is 5 — use a string"),
        ({"command": "a 'b"}, "its command cannot be split into words (No closing quotation) — close the quotation"),
        ({"command": "a", "env": {"X": 1}}, "'env' is a dict — use a dict of strings"),
        ({"command": "a", "timeout_seconds": 0}, "'timeout_seconds' is 0 — use a number of seconds above 0"),
        ({"command": "a", "tool_name_prefix": "a b"}, "its tool_name_prefix is not valid in a tool's name"),
        ({"url": "b", "transport": "sse"}, "has no field 'transport' — remove it: url uses streamable HTTP"),
        ({"comand": "a"}, "this MCP server has no field 'comand' — did you mean 'command'?"),
    ],
)
def test_what_is_wrong_is_said(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=r"test_mcp_server\.py:\d+: ") as caught:
        MCPServer(**arguments)
    assert says in caught.value.message


def test_yaml_declares_servers_among_the_tools(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    project(
        "teams.yaml",
        """
        agents:
          - id: a
            model: scripted
            tools:
              - mcp: {command: [uvx, server], env: {KEY: "${TOKEN}"}, include_tools: [add]}
              - mcp:
                  url: https://mcp.example/mcp
                  instructions: Ask twice.
                  include_tools: []
        """,
    )
    agent = load("teams.yaml").agents["a"].spec
    first, second = agent.tool_sources
    assert isinstance(first, MCPServer)
    assert (first.arguments(), first.variables(), first.include_tools) == (
        ["uvx", "server"],
        {"KEY": "s3cret"},
        ["add"],
    )
    assert isinstance(second, MCPServer)
    assert (second.known_as, second.include_tools) == ("mcp.example", [])
    assert agent.tool_instructions == ("Ask twice.",)
    assert isinstance(agent, Agent)
