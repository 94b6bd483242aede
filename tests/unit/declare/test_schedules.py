"""Schedules as they are declared, in Python and YAML, and what is wrong with them in words."""

from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Budget, Schedule, Team
from musterd.core.errors import DeclarationError
from musterd.declare import Registry, load
from musterd.features.schedules.declared import declared_schedules
from musterd.features.schedules.records import Definition, OnMissed, Overlap

AGENT = Agent(id="solo", model="scripted")
FILE = """
agents:
  - {id: solo, model: scripted}
schedules:
  - name: morning
    run: solo
    cron: "0 7 * * 1-5"
    timezone: Europe/Oslo
    message: good morning
    on_missed: all
    overlap: skip
    budget: {tokens: 1000}
    payload: {dependencies: {topic: news}}
  - {name: launch, run: solo, at: "2099-05-01T09:00", timezone: Europe/Oslo, message: go}
"""


def test_a_declaration_is_stored_as_the_same_one_over_http() -> None:
    morning = Schedule(
        "morning",
        run=AGENT,
        cron="0 7 * * 1-5",
        timezone="Europe/Oslo",
        message="good morning",
        on_missed="all",
        overlap="skip",
        budget=Budget(tokens=1000),
        payload={"dependencies": {"topic": "news"}},
    )
    (declared,) = declared_schedules(Registry.of(agents=[AGENT], schedules=[morning]))
    assert declared.name == "morning"
    assert declared.definition == Definition(
        endpoint="/agents/solo/runs",
        payload={"message": "good morning", "dependencies": {"topic": "news"}},
        cron_expr="0 7 * * 1-5",
        timezone="Europe/Oslo",
        on_missed=OnMissed.ALL,
        overlap=Overlap.SKIP,
        budget={"tokens": 1000},
    )
    assert Definition.from_json(declared.definition.as_json()) == declared.definition


def test_a_file_declares_the_same_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(FILE)
    morning, launch = declared_schedules(load(str(path)))
    assert morning.definition.on_missed is OnMissed.ALL
    assert morning.definition.budget == {"tokens": 1000}
    assert (launch.definition.cron_expr, launch.definition.at) == (None, 4081302000.0)


def test_a_module_declares_those_that_its_variables_hold(tmp_path: Path) -> None:
    path = tmp_path / "scheduled.py"
    path.write_text(
        "from musterd import Agent, Schedule\n"
        'solo = Agent(model="scripted")\n'
        'other = Agent(model="scripted")\n'
        'morning = Schedule("morning", cron="@daily", run=solo, message="hello")\n'
    )
    assert [one.name for one in declared_schedules(load(str(path)))] == ["morning"]
    assert declared_schedules(load(f"{path}:other")) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cron": "61 * * * *"}, "schedule 's': Invalid cron expression: 61 * * * *"),
        ({"timezone": "Mars/One"}, "schedule 's': Invalid timezone: Mars/One"),
        ({"cron": None}, "schedule 's': it has neither cron nor at"),
        ({"at": "2099-01-01T00:00"}, "schedule 's': it has cron and at"),
        ({"at": "soon"}, "schedule 's': 'at' is 'soon'"),
        ({"message": " "}, "schedule 's': it has no message"),
        ({"run": None}, "schedule 's': run= is missing"),
        ({"run": "solo"}, "schedule 's': run= is a str"),
        ({"overlap": "wait"}, "schedule 's': 'overlap' is 'wait'"),
        ({"name": "-x"}, "schedule '-x': its name is not valid"),
        ({"max_retry": 1}, "did you mean 'max_retries'?"),
        ({"budget": {"tokens": 1}}, "schedule 's': 'budget' is a dict"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(fields: dict[str, Any], words: str) -> None:
    values = {"name": "s", "run": AGENT, "cron": "@daily", "message": "x", **fields}
    with pytest.raises(DeclarationError) as error:
        Schedule(**values)
    assert words in error.value.message
    assert Path(__file__).name in error.value.message


def test_only_what_is_served_can_be_run_and_names_are_unique() -> None:
    member = Agent(id="member")
    team = Team(id="desk", members=[member], model="scripted")
    hidden = Schedule("hidden", cron="@daily", run=member, message="x")
    with pytest.raises(DeclarationError, match="schedule 'hidden' runs agent 'member', which is not served"):
        Registry.of(teams=[team], schedules=[hidden])
    first, second = [Schedule("twice", cron="@daily", run=team, message="x") for _ in range(2)]
    with pytest.raises(DeclarationError, match="schedule 'twice' is declared twice"):
        Registry.of(teams=[team], schedules=[first, second])


def test_a_file_names_unknown_fields_and_components(tmp_path: Path) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(FILE.replace("run: solo\n", "run: sole\n").replace("overlap: skip", "overlaps: skip"))
    with pytest.raises(DeclarationError) as error:
        load(str(path))
    assert "there is no agent or team 'sole' — did you mean 'solo'?" in error.value.message
    assert "schedule 'morning' has no field 'overlaps' — did you mean 'overlap'?" in error.value.message


@pytest.mark.parametrize("run", ["sole", "elsewhere"])
def test_a_file_names_an_unknown_component_and_the_other_problems_of_its_schedule(tmp_path: Path, run: str) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(FILE.replace("run: solo\n", f"run: {run}\n").replace("0 7 * * 1-5", "99 * * * *"))
    with pytest.raises(DeclarationError) as error:
        load(str(path))
    assert f"there is no agent or team '{run}'" in error.value.message
    assert "schedule 'morning': Invalid cron expression: 99 * * * *" in error.value.message
