"""Runs that are started while the server restarts."""

from collections.abc import Callable

import httpx2
import pytest

from musterd.cli.main import main
from musterd.client import clock
from tests.unit.cli.conftest import Respond

RUN = {"run_id": "r1", "session_id": "s1", "team_id": "desk", "status": "PENDING"}


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch, respond_with: Callable[[Respond], None]) -> Callable[[float], None]:
    """Let a server be away from now on for a time, on a clock that moves only while the client waits."""
    now = 1000.0

    def block(seconds: float) -> None:
        nonlocal now
        now += seconds

    def restarting(seconds: float) -> None:
        back_at = now + seconds

        def respond(request: httpx2.Request) -> httpx2.Response:
            if now < back_at:
                raise httpx2.ConnectError("refused", request=request)
            if request.method == "POST":
                return httpx2.Response(202, json=RUN)
            rows = [{"id": "desk", "name": "Desk"}] if request.url.path == "/teams" else []
            return httpx2.Response(200, json=rows)

        respond_with(respond)

    monkeypatch.setattr(clock, "monotonic", lambda: now)
    monkeypatch.setattr(clock, "block", block)
    monkeypatch.setattr(clock, "full_jitter", lambda cap: cap)
    return restarting


def test_a_run_is_started_after_a_restart_of_the_server(
    restart: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    restart(5.0)
    assert main(["run", "desk", "hello", "--detach"]) == 0
    assert capsys.readouterr().out == "r1\n"


def test_a_server_that_stays_away_is_named_with_how_to_start_one(
    restart: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    restart(60.0)
    assert main(["run", "desk", "hello", "--detach"]) == 4
    assert "Start a server with: musterd serve FILE." in capsys.readouterr().err
