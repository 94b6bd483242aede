"""Fixtures for the commands."""

import sys

import pytest
import structlog

from musterd import Settings
from musterd.cli import offline_database


@pytest.fixture
def log_to_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Log as a command on the database does, but to the stream of each test."""

    def configure(settings: Settings) -> None:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=False)

    monkeypatch.setattr(offline_database, "configure", configure)
