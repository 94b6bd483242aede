"""The reference names all that can be declared, and its schema is the form that is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from musterd.declare import Agent, Step, StepInput, StepOutput, Team, ToolContext, Workflow, load
from musterd.declare.options import options_of
from musterd.declare.reference import PAGES, SCHEMA, schema_text, with_tables
from musterd.declare.tools import ToolOptions
from musterd.declare.workflow import UserInputField
from musterd.declare.workflow.conditions import LOOP_NAMES, ROUTER_NAMES, STEP_NAMES
from musterd.declare.yaml_schema import CONTAINERS, file_form
from tests.unit.declare.conftest import Project

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
TEAMS, WORKFLOWS = PAGES
RENDER = "run `python -m musterd.declare.reference docs/reference`"


def test_the_published_schema_is_current() -> None:
    assert (FOLDER / SCHEMA).read_text(encoding="utf-8") == schema_text(), RENDER


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_the_page_are_current(name: str) -> None:
    page = (FOLDER / name).read_text(encoding="utf-8")
    assert with_tables(page) == page, RENDER


def test_the_page_names_every_option() -> None:
    page = (FOLDER / TEAMS).read_text(encoding="utf-8")
    names = {
        *options_of(Agent),
        *options_of(Team),
        *ToolOptions.__annotations__,
        *(field.name for field in dataclasses.fields(ToolContext)),
    }
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_page_of_workflows_names_every_option_and_field() -> None:
    page = (FOLDER / WORKFLOWS).read_text(encoding="utf-8")
    declared: list[type] = [Workflow, Step, *CONTAINERS.values()]
    options = {name for cls in declared for name in options_of(cls)}
    fields = {field.name for cls in (StepInput, StepOutput, UserInputField) for field in dataclasses.fields(cls)}
    methods = {f"{name}(" for name in vars(StepInput) if name.startswith("get_")}
    missing = {name for name in {*options, *fields} if f"`{name}`" not in page}
    assert (missing, {name for name in methods if f"`{name}" not in page}) == (set(), set())
    names = {*STEP_NAMES, *ROUTER_NAMES, *LOOP_NAMES}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_examples_of_the_page_of_workflows_work(project: Project) -> None:
    (declared,) = blocks("yaml", WORKFLOWS)
    project("newsroom.py", "\n".join(blocks("python", WORKFLOWS)))
    project("teams.yaml", declared)
    assert list(load("newsroom.py").workflows) == ["article", "briefing"]
    assert [node.kind for node in load("teams.yaml").workflows["article"].nodes()].count("step") == 8


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = json.loads(schema_text())
    agent = schema["$defs"]["Agent"]
    assert agent["additionalProperties"] is False
    assert "members" in schema["$defs"]["Team"]["properties"]
    assert "tool_hooks" not in agent["properties"], "only Python can say it"
    with pytest.raises(ValidationError):
        file_form().model_validate({"agents": [{"id": "a", "modle": "m"}]})


def blocks(language: str, name: str = TEAMS) -> list[str]:
    page = (FOLDER / name).read_text(encoding="utf-8")
    return [part.split("```")[0] for part in page.split(f"```{language}\n")[1:]]


def test_the_examples_of_the_page_work(project: Project) -> None:
    (python,) = blocks("python")
    (declared,) = blocks("yaml")
    assert yaml.safe_load(declared)["version"] == 1
    project("newsroom.py", python)
    project("teams.yaml", declared)
    for source in ("newsroom.py", "teams.yaml"):
        registry = load(source)
        desk = registry.teams["desk"]
        assert [member.id for member in desk.members] == ["weather-agent", "writer-agent"]
        assert desk.model == "openai:gpt-5-mini"
        weather = registry.agents["weather-agent"].tools[0]
        assert weather.parameters["properties"]["city"]["description"] == "The city's name."
