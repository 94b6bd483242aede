"""``musterd replay``: the first step at which a source differs from an exported run."""

import json
from pathlib import Path

import pytest

from musterd.declare import load
from musterd.testing import TestClient
from tests.support.commands import Command

SOURCE = '''
from musterd import Agent, Team, tool

@tool
def get_weather(city: str) -> str:
    """Current weather in a city."""
    raise AssertionError("a replay calls no tool")

weather = Agent(id="weather", role="Knows the weather", tools=[get_weather], instructions="Be brief.")
desk = Team(id="desk", members=[weather], model="openai:gpt-5")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the source and an export of a run of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team.py").write_text(SOURCE)
    with TestClient(load("team.py")) as client:
        client.run("desk", "What is the weather in Oslo?").save(tmp_path / "run.json")
    return tmp_path


async def test_nothing_differs(folder: Path, musterd: Command) -> None:
    outcome = await musterd("replay", "run.json", "team.py")
    assert (outcome.code, outcome.out, outcome.err) == (0, "No difference in 8 steps.\n", "")
    outcome = await musterd("replay", "run.json", "team.py:desk", "--json")
    assert json.loads(outcome.out) == {"same": True, "steps": 8, "notes": []}


async def test_the_first_difference_is_shown(folder: Path, musterd: Command) -> None:
    (folder / "team.py").write_text(SOURCE.replace("Be brief.", "Be long."))
    outcome = await musterd("replay", "run.json", "team.py")
    assert outcome.code == 1
    place = "the preparation of weather (step t0/c0/p)"
    assert outcome.out.startswith(f"The first difference is in {place}: the instructions differ.\n--- ")
    assert "-Be brief.\n+Be long.\n" in outcome.out
    outcome = await musterd("replay", "run.json", "team.py", "--json")
    assert outcome.code == 1
    shown = json.loads(outcome.out)
    assert (shown["same"], shown["difference"]["path"], shown["difference"]["aspect"]) == (
        False,
        "t0/c0/p",
        "instructions",
    )


async def test_notes_are_no_data(folder: Path, musterd: Command) -> None:
    (folder / "team.py").write_text(SOURCE.replace("gpt-5", "gpt-5-mini"))
    outcome = await musterd("replay", "run.json", "team.py")
    assert (outcome.code, outcome.out) == (0, "No difference in 8 steps.\n")
    assert "desk called the model gpt-5, and calls gpt-5-mini today.\n" in outcome.err


async def test_a_changed_tool_is_a_difference(folder: Path, musterd: Command) -> None:
    (folder / "team.py").write_text(SOURCE.replace("Current weather", "The weather of today"))
    outcome = await musterd("replay", "run.json", "team.py")
    assert outcome.code == 1
    assert "the tools that the model is offered differ: changed description of get_weather." in outcome.out
    assert '-    "description": "Current weather in a city."\n' in outcome.out
    assert '+    "description": "The weather of today in a city."\n' in outcome.out


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("missing.json", "team.py", "missing.json cannot be read: No such file or directory."),
        ("team.py", "team.py", "team.py: This is not an export of a run"),
        ("team.py:desk", "run.json", "team.py:desk cannot be read: No such file or directory. The first argument is "),
        ("run.json", "other.py", "The run is one of the team desk, but only solo is declared."),
    ],
)
async def test_what_cannot_be_replayed(folder: Path, musterd: Command, file: str, source: str, message: str) -> None:
    (folder / "other.py").write_text("from musterd import Agent\nsolo = Agent(id='solo', model='scripted')\n")
    outcome = await musterd("replay", file, source)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"musterd: {message}")
