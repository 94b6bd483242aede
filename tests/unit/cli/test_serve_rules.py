"""Who may be served by whom: beyond loopback nobody is let in unasked, unless somebody says so."""

from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from musterd import Agent, Settings, create_app
from musterd.agno import Report
from musterd.agno.hosting import HostApplication
from musterd.cli.listening import listen, url_of
from musterd.cli.main import main
from musterd.cli.serve import require_key
from musterd.cli.source import log_open_routes
from musterd.core.errors import StartError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "agents.example.com"])
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_beyond_loopback_something_must_be_asked_for(
    command: str, host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "team.py").write_text("from musterd import Agent\nwriter = Agent(id='writer', model='scripted')\n")
    assert main([command, str(tmp_path / "team.py"), "--host", host, "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert "set OS_SECURITY_KEY or JWT_VERIFICATION_KEY, or " in said
    assert "MUSTERD_INSECURE=true" in said
    assert ("--insecure" in said) is (command == "serve"), "a worker has no such option"


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_address_that_is_said_can_be_opened(host: str, address: str) -> None:
    with listen(host, 0) as listener:
        assert url_of(listener).startswith(address)


@pytest.mark.parametrize(
    "settings",
    [
        {"security_key": "k"},
        {"jwt_verification_key": "k"},
        {"jwt_jwks_file": "keys.json"},
        {"jwt_jwks_url": "https://id.example/keys"},
        {"insecure": True},
    ],
)
def test_with_any_of_these_it_may_be_served(settings: dict[str, Any]) -> None:
    require_key(Settings(**settings), "0.0.0.0", is_open=False)


def test_both_are_refused_wherever_it_listens() -> None:
    with pytest.raises(StartError, match="both set"):
        require_key(Settings(security_key="k", jwt_verification_key="k"), "0.0.0.0", is_open=False)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTERD_AUTH", "")
    monkeypatch.setenv("JWT_VERIFICATION_KEY", "")
    assert Settings().auth is None


async def answer(_request: Request) -> Response:
    """A route of a file."""
    return Response()


@pytest.mark.parametrize(("routes", "lines"), [([], 0), ([Route("/own", answer)], 1)])
def test_a_start_says_that_a_files_own_routes_need_no_key(routes: list[Route], lines: int, sqlite_file: Path) -> None:
    settings = Settings(db=f"sqlite:///{sqlite_file}", security_key="secret")
    host = HostApplication(Starlette(routes=routes), own_routes_first=False)
    host.serve_inside(create_app(agents=[Agent(id="writer", model="scripted")], settings=settings))
    with capture_logs() as log:
        log_open_routes(Report(host=host))
    assert len([line for line in log if "checks neither a key nor the Host header" in line["event"]]) == lines
