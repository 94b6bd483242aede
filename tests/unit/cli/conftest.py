"""Fixtures for the commands."""

import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import structlog

from musterd import Settings
from musterd.cli import offline_database
from musterd.client import client as client_module

Respond = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def log_to_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Log as a command on the database does, but to the stream of each test."""

    def configure(settings: Settings) -> None:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=False)

    monkeypatch.setattr(offline_database, "configure", configure)


@pytest.fixture
def respond_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Respond], None]:
    """Let a function answer the requests of commands, in place of a server."""
    http_options = client_module.http_options

    def replace_server(respond: Respond) -> None:
        def options_with_transport(*parameters: Any) -> dict[str, Any]:
            return {**http_options(*parameters), "transport": httpx2.MockTransport(respond)}

        monkeypatch.setattr(client_module, "http_options", options_with_transport)
        monkeypatch.setenv("MUSTERD_URL", "http://host")

    return replace_server
