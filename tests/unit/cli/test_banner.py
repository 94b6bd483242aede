"""What a server says of itself when it starts, and of variables that it does not know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from musterd import Agent, Settings, Team, tool
from musterd.cli.banner import print_startup, startup_facts, warn_of_unknown_variables
from musterd.cli.main import main
from musterd.cli.settings import unknown_variables
from musterd.core.errors import NotFound
from musterd.declare import Registry
from musterd.http.server import Server

if TYPE_CHECKING:
    from pathlib import Path


def server_of(agents: int = 0, **settings: Any) -> Server:
    """A server of one team and some agents, which is not started."""
    registry = Registry.of(
        teams=[Team(id="desk", model="scripted")],
        agents=[Agent(id=f"agent-{number}", model="scripted") for number in range(agents)],
    )
    return Server(registry, Settings(**settings), ())


def test_a_start_says_what_is_served_and_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: True)
    url = "postgresql://musterd:topsecret@db.example/records"
    print_startup(server_of(agents=12, db=url), "http://127.0.0.1:7777")
    output = capsys.readouterr()
    assert output.out == "musterd: serving on http://127.0.0.1:7777\n"
    first, *rest = output.err.splitlines()
    assert first == "musterd 0.1.0"
    facts = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in rest}
    assert facts["database"] == "postgresql://musterd@db.example/records"
    assert facts["teams"] == "desk"
    assert facts["agents"].startswith("agent-0, agent-1, ")
    assert facts["agents"].endswith(", agent-9 and 2 more")
    assert facts["page"] == "http://127.0.0.1:7777/ui/"
    assert facts["docs"] == "http://127.0.0.1:7777/docs"
    assert facts["access"] == "open: no key is required"
    assert facts["run"] == 'musterd run desk "…"'
    assert facts["stop"] == "Ctrl+C"
    assert "topsecret" not in output.err


def test_a_start_names_no_page_that_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: False)
    assert "page" not in startup_facts(server_of(), "http://127.0.0.1:7777")


def test_the_command_that_runs_a_team_names_a_server_at_another_address(capsys: pytest.CaptureFixture[str]) -> None:
    print_startup(server_of(), "http://127.0.0.1:8000")
    assert '  run       musterd run desk "…" --url http://127.0.0.1:8000\n' in capsys.readouterr().err


def test_a_start_says_which_tools_need_a_person_and_what_waits() -> None:
    @tool(requires_confirmation=True)
    def refund(order: int) -> str:
        """Refund an order."""
        return "refunded"

    @tool
    def look(order: int) -> str:
        """Look an order up."""
        return "a kettle"

    clerk = Agent(id="clerk", tools=[look, refund])
    registry = Registry.of(teams=[Team(id="desk", model="scripted", members=[clerk], tools=[refund])])
    server = Server(registry, Settings(), ())
    facts = startup_facts(server, "http://127.0.0.1:8000", waiting=2)
    assert facts["approvals"] == "refund (needs approval)"
    assert facts["waiting"] == "2 approvals: musterd approvals ls --url http://127.0.0.1:8000"
    assert "waiting" not in startup_facts(server, "http://127.0.0.1:7777")


def test_a_start_says_it_as_a_log_line_if_logs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as lines:
        print_startup(server_of(log_json=True), "http://127.0.0.1:7777")
    (line,) = lines
    assert (line["event"], line["url"], line["teams"]) == ("serving", "http://127.0.0.1:7777", "desk")
    assert capsys.readouterr() == ("musterd: serving on http://127.0.0.1:7777\n", "")


def test_a_start_says_what_callers_must_show() -> None:
    assert "a key is required" in startup_facts(server_of(security_key="topsecret"), "http://x")["access"]
    facts = startup_facts(server_of(jwt_verification_key="topsecret", docs_enabled=False), "http://x")
    assert "a token is required" in facts["access"]
    assert "topsecret" not in str(facts)
    assert "docs" not in facts


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MUSTERD_CONCURENCY", "MUSTERD_CONCURRENCY"),
        ("MUSTERD_MAXTURNS", "MUSTERD_MAX_TURNS"),
        ("OS_SECURTY_KEY", "OS_SECURITY_KEY"),
        ("MUSTERD_SOMETHING_ELSE_ALTOGETHER", None),
    ],
)
def test_a_misspelt_variable_is_named_with_the_setting_that_was_meant(variable: str, meant: str | None) -> None:
    assert list(unknown_variables({variable: "1", "PATH": "/bin"})) == [(variable, meant)]


@pytest.mark.parametrize(
    "variable",
    [
        "MUSTERD_CONCURRENCY",
        "musterd_concurrency",
        "OS_SECURITY_KEY",
        "MUSTERD_SECURITY_KEY",
        "MUSTERD_EXAMPLE_MODEL",
        "MUSTERD_SERVICE_HOST",
        "MUSTERD_PORT",
        "MUSTERD_PORT_7777_TCP_ADDR",
        "OS_REGION",
    ],
)
def test_settings_and_what_others_set_are_no_misspelt_settings(variable: str) -> None:
    assert list(unknown_variables({variable: "1"})) == []


def test_a_misspelt_variable_is_warned_of_without_its_value() -> None:
    with capture_logs() as lines:
        warn_of_unknown_variables(unknown_variables({"MUSTERD_WEBHOOK_SECRT": "topsecret"}))
    (line,) = lines
    assert line["log_level"] == "warning"
    assert line["event"].endswith("has no effect: did you mean MUSTERD_WEBHOOK_SECRET?")
    assert "topsecret" not in str(line)


def test_all_settings_that_cannot_be_read_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTERD_CONCURRENCY", "many")
    monkeypatch.setenv("DOCS_ENABLED", "perhaps")
    assert main(["serve", "nothing.py"]) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "musterd: 2 problems"
    assert [line.partition(":")[0] for line in sorted(rest)] == ["DOCS_ENABLED", "MUSTERD_CONCURRENCY"]
    assert not any("many" in line or "perhaps" in line for line in rest)


def test_an_unknown_team_is_logged_once_with_the_one_that_was_meant() -> None:
    server = server_of()
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(NotFound, match=r"^Team not found$"):
                server.component("team", "dsk")
    (line,) = lines
    assert (line["id"], line["did_you_mean"], line["served"]) == ("dsk", "desk", ["desk"])
    with capture_logs() as lines:
        for number in range(200):
            with pytest.raises(NotFound):
                server.component("team", f"nothing-{number}")
    assert len(lines) < 100, "requests cannot fill the log with names"


def test_the_doctor_names_a_misspelt_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSTERD_CONCURENCY", "3")
    main(["doctor", "--json", "--port", "0"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    (check,) = [check for check in checks if "MUSTERD_CONCURENCY" in check["found"]]
    assert (check["level"], check["cure"]) == ("warn", "did you mean MUSTERD_CONCURRENCY?")
