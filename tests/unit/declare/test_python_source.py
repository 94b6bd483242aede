"""Declarations in Python files and modules: what is found, and one line for what does not import."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from musterd.declare import load
from tests.unit.declare.conftest import Project, refusal

APP = """
    from musterd import Agent, Team
    from parts import writer

    count = 3
    desk = Team(id="desk", model="m", members=[writer, Agent(id="inline")])
    alias = desk
    crowd = [Agent(id="in-a-list", model="m")]
"""
PARTS = """
    from musterd import Agent

    writer = Agent(id="writer")
"""


def test_a_file_serves_what_stands_at_module_level(project: Project) -> None:
    project("parts.py", PARTS)
    path = project("app.py", APP)
    for source in ("app.py", str(path), "./app.py", "app"):
        registry = load(source)
        assert (list(registry.teams), list(registry.agents)) == (["desk"], ["writer"])


UNNAMED = """
    from musterd import Agent, Team
    from parts import helper

    support_desk = Team(model="m", members=[helper, Agent(role="Knows tea")])
    _spare = Agent(model="m")
    again = support_desk
"""


def test_the_variable_gives_the_id_of_what_has_no_id_and_no_name(project: Project) -> None:
    project("parts.py", "from musterd import Agent\nhelper = Agent(role='Helps')\n")
    project("app.py", UNNAMED)
    for source in ("app.py", "app.py:support_desk"):
        desk = load(source).teams["support-desk"]
        assert [member.id for member in desk.members] == ["helper", "support-desk-2"]
    assert list(load("app.py").agents) == ["helper", "spare"]


def test_variables_that_give_the_same_id_are_refused(project: Project) -> None:
    project("app.py", "from musterd import Agent\ndesk = Agent(model='m')\nDESK = Agent(model='m')\n")
    said = refusal("app.py")
    assert said == "app.py:3: agent 'desk' is declared twice, first at app.py:2 — give one of them another id"


def test_a_name_picks_one(project: Project) -> None:
    project("parts.py", PARTS)
    project("app.py", APP)
    for source in ("app.py:desk", "app:alias"):
        registry = load(source)
        assert (list(registry.teams), list(registry.agents)) == (["desk"], [])


def test_files_in_folders_and_packages_find_their_neighbours(project: Project) -> None:
    project("lone/parts.py", PARTS)
    project("lone/my-app.py", APP)
    assert list(load("lone/my-app.py").teams) == ["desk"]
    project("shop/__init__.py", "")
    project("shop/things.py", PARTS)
    project("shop/teams.py", APP.replace("from parts", "from .things"))
    assert list(load("shop/teams.py").teams) == list(load("shop.teams:desk").teams) == ["desk"]


def test_a_file_in_a_package_finds_the_modules_beside_it(project: Project) -> None:
    project("shop/__init__.py", "")
    project("shop/food/__init__.py", "")
    project("shop/food/parts.py", PARTS)
    project("shop/food/more.py", "from musterd import Agent\nbaker = Agent(id='baker', model='m')\n")
    project("shop/food/teams.py", APP.replace("from parts", "from .more import baker\n    from parts"))
    registry = load("shop/food/teams.py")
    assert (list(registry.teams), list(registry.agents)) == (["desk"], ["baker", "writer"])


def test_a_module_beside_a_file_in_a_package_hides_no_library(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)
    project("shop/__init__.py", "")
    project("shop/tabnanny.py", "raise AssertionError('the library is meant')")
    project("shop/app.py", "import tabnanny\nfrom musterd import Agent\na = Agent(id='a', model='m')\n")
    assert list(load("shop/app.py").agents) == ["a"]


def test_a_module_under_two_names_is_said_to_be_one_cause_of_an_id_that_stands_twice(project: Project) -> None:
    project("shop/__init__.py", "")
    project("shop/parts.py", "from musterd import Agent\nwriter = Agent(id='writer', model='m')\n")
    project("shop/app.py", "from parts import writer\nfrom shop.parts import writer as other\n")
    assert refusal("shop/app.py") == (
        "shop/parts.py:2: agent 'writer' is declared twice, first at shop/parts.py:2 — give each its own id; "
        "if the module is imported under two names, use one of them"
    )


def test_a_file_may_have_the_name_of_a_known_module(project: Project) -> None:
    project("json.py", "from musterd import Agent\na = Agent(id='a', model='m')\n")
    assert list(load("json.py").agents) == ["a"]
    assert sys.modules["json"].__name__ == "json"
    assert hasattr(sys.modules["json"], "dumps")


def test_a_dataclass_with_late_hints_works_in_a_served_file(project: Project) -> None:
    project(
        "late.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import TYPE_CHECKING
        from musterd import Agent, tool
        if TYPE_CHECKING:
            from musterd import ToolContext

        @dataclass
        class Town:
            name: str

        @tool
        def visit(town: Town, run: ToolContext) -> str:
            return town.name

        a = Agent(id="a", model="m", tools=[visit])
        """,
    )
    (visit,) = load("late.py").agents["a"].tools
    assert visit.validate({"town": {"name": "Rome"}})["town"].name == "Rome"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1 / 0", "app.py:1: app.py cannot be imported (ZeroDivisionError: division by zero)"),
        ("import os\nx = (", "app.py:2: app.py cannot be imported (SyntaxError: '(' was never closed)"),
        (
            "import nix_da",
            "app.py:1: app.py cannot be imported (ModuleNotFoundError: No module named 'nix_da') — install",
        ),
        ("from parts import nix", "app.py:1: app.py cannot be imported (ImportError: cannot import name 'nix'"),
        (
            "from agno.agent import Agent",
            "app.py:1: app.py cannot be imported (ModuleNotFoundError: No module named 'agno')"
            " — install Agno into the environment of musterd: pip install 'agno==2.5.6'",
        ),
        ("import sys\nsys.exit(3)", "app.py:2: app.py cannot be imported (SystemExit: 3)"),
        ("import json\njson.loads('{')", "app.py:2: app.py cannot be imported (JSONDecodeError:"),
        ("raise ValueError('one\\ntwo')", "app.py:1: app.py cannot be imported (ValueError: one)"),
        ("import bad", "bad.py:1: app.py cannot be imported (ZeroDivisionError"),
        ("x = 1", "app.py: no Agent, Team or Workflow of musterd is declared at module level — assign one"),
        (
            "from musterd import Agent\n\nx = Agent(\n  idd='x')",
            "app.py:3: this agent has no field 'idd' — did you mean 'id'?",
        ),
    ],
)
def test_what_does_not_import_is_said_in_one_line(project: Project, text: str, says: str) -> None:
    project("parts.py", PARTS)
    project("bad.py", "1 / 0")
    project("app.py", text)
    assert refusal("app.py").startswith(says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nix.py", r"nix\.py: the file does not exist — looked for it in /.+"),
        ("nix", r"there is no module 'nix' — looked in /.+ and in the installed packages"),
        ("parts.nix", r"there is no module 'parts\.nix' — looked in .+"),
        ("folder", r"folder: is a folder — pass a FILE\.py or a teams\.yaml"),
        ("", r"Nothing to serve — pass a FILE\.py, .+"),
        ("my-app", r"'my-app' is not a module name — pass a FILE\.py, .+"),
        ("parts.py:writr", r"parts\.py: there is no 'writr' at module level — did you mean 'writer'\?"),
        (
            "web.py:app",
            r"web\.py: 'app' is a Starlette — serve an application with uvicorn, or choose an Agent, a Team, .+",
        ),
        ("parts:Agent", r"parts\.py: 'Agent' is a type — choose an Agent, a Team, a Workflow or a Registry of musterd"),
    ],
)
def test_what_is_not_there_says_what_was_looked_for(project: Project, source: str, says: str) -> None:
    project("parts.py", PARTS)
    project("web.py", "from starlette.applications import Starlette\napp = Starlette()\n")
    project("folder/x.txt", "")
    assert re.fullmatch(says, refusal(source))


def test_importing_the_room_imports_no_library() -> None:
    libraries = {"pydantic", "pydantic_ai", "griffe", "yaml", "openai"}
    probe = f"import sys, musterd.declare; print({libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
