"""``musterd inspect`` of a file of musterd's own; files of Agno are in ``tests/compat/test_agno_sources.py``."""

import json
from pathlib import Path

import pytest

from musterd.cli import main

TEAM = """
from musterd import Agent, Team

def look(place: str) -> str:
    return place

writer = Agent(id="writer", model="scripted", tools=[look])
desk = Team(id="desk", model="openai:gpt-5-mini", members=[writer], mode="route")
"""
KNOWLEDGE = """
from musterd import Agent, Knowledge

docs = Knowledge(id="docs", embedder="opnai:small")
helper = Agent(id="helper", model="scripted", knowledge=docs)
"""


def test_what_a_file_declares_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "team.py").write_text(TEAM)
    assert main(["inspect", str(tmp_path / "team.py")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "team desk · gpt-5-mini · route · members: writer",
        "agent writer · scripted · tools: look",
        "",
        "musterd serves all of it as it is declared",
    ]
    assert main(["inspect", str(tmp_path / "team.py"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["requires_access"], printed["remarks"]) == (False, [])
    assert printed["components"][1]["tools"] == ["look"]


WAITING_TOOLS = """
from musterd import Agent, tool

@tool(requires_confirmation=True)
def refund(order: int) -> str:
    return "refunded"

@tool(user_input_fields=["seat"])
def check_in(flight: str, seat: str) -> str:
    return seat

@tool(external_execution=True)
def phone(number: str) -> str:
    return number

def look(place: str) -> str:
    return place

clerk = Agent(id="clerk", model="scripted", tools=[look, refund, check_in, phone])
"""


def test_tools_that_need_a_person_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "desk.py").write_text(WAITING_TOOLS)
    assert main(["inspect", str(tmp_path / "desk.py")]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        "agent clerk · scripted · tools: look, refund (needs approval), check_in (needs a person's input), "
        "phone (is called outside the server)"
    )
    assert main(["inspect", str(tmp_path / "desk.py"), "--json"]) == 0
    (clerk,) = json.loads(capsys.readouterr().out)["components"]
    assert clerk["tools"] == ["look", "refund", "check_in", "phone"]
    assert clerk["person_tools"] == {
        "refund": "requires_confirmation",
        "check_in": "requires_user_input",
        "phone": "external_execution",
    }


def test_models_of_unknown_providers_are_reported_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # that this machine has no key does not matter
    (tmp_path / "team.py").write_text(TEAM.replace('"scripted"', '"scriptd"').replace('"openai:', '"opnai:'))
    assert main(["inspect", str(tmp_path / "team.py")]) == 2
    _, of_writer, of_desk = capsys.readouterr().err.splitlines()
    assert of_writer.endswith('Did you mean "scripted"?')
    assert of_desk.endswith('unknown provider "opnai". Did you mean "openai"?')


@pytest.mark.parametrize("command", ["inspect", "serve"])
def test_an_embedder_of_an_unknown_provider_is_reported(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs.py").write_text(KNOWLEDGE)
    assert main([command, str(tmp_path / "docs.py")]) == 2
    assert 'knowledge \'docs\': Embedder "opnai:small": unknown provider "opnai"' in capsys.readouterr().err


def test_a_file_that_cannot_be_served_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    assert main(["inspect", str(tmp_path / "empty.py")]) == 2
