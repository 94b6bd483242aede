"""The page for those who come from Agno: the names that it says exist, there and here."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
from pathlib import Path

import pytest

from musterd import Agent, Team
from musterd.declare.removed_options import REMOVED, REMOVED_OF_TOOLKITS, REMOVED_OF_TOOLS
from musterd.declare.toolkit import ToolkitOptions
from musterd.declare.tools import ToolOptions
from tests.compat.conftest import PYTHON, ROOT, missing

PAGE = (ROOT / "docs" / "howto" / "from-agno.md").read_text(encoding="utf-8")
THEIRS = sorted(set(re.findall(r"`(agno(?:\.\w+)+)`", PAGE)))
OURS = sorted(set(re.findall(r"`(musterd(?:\.\w+)+)`", PAGE)) - {"musterd.guards"})


@functools.cache
def agno() -> Path:
    """Where the clients' environment has Agno."""
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    (package,) = PYTHON.parent.parent.glob("lib/python*/site-packages/agno")
    return package


def declared(module: Path) -> set[str]:
    """The names that a module, or a package's `__init__`, binds."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_the_page_has_the_names_that_are_looked_for() -> None:
    assert {"agno.agent.Agent", "agno.team.Team", "agno.tools.tool", "agno.os.AgentOS"} <= set(THEIRS)
    assert {"musterd.Agent", "musterd.Team", "musterd.tool", "musterd.create_app"} <= set(OURS)


@pytest.mark.parametrize("name", THEIRS)
def test_what_the_page_replaces_is_agnos(name: str) -> None:
    *parts, last = name.split(".")[1:]
    place = agno().joinpath(*parts)
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    assert last in declared(module)


@pytest.mark.parametrize("name", OURS)
def test_what_the_page_offers_is_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_the_names_that_stay_are_those_of_guards() -> None:
    rows = [row for row in PAGE.splitlines() if "the same names of `musterd.guards`" in row]
    guards = importlib.import_module("musterd.guards")
    names = [name for row in rows for name in re.findall(r"`agno[\w.]*\.(\w+)`", row)]
    assert len(names) > 8
    assert [name for name in names if name not in guards.__all__] == []


def given_to(module: str, name: str) -> set[str]:
    """What the constructor of a class of Agno's takes."""
    tree = ast.parse(agno().joinpath(module).read_text(encoding="utf-8"))
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    (init,) = (node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)} - {"self"}


@pytest.mark.parametrize(("cls", "module"), [(Agent, "agent/agent.py"), (Team, "team/team.py")])
def test_every_field_of_agnos_is_here_or_has_its_cure(cls: type[Agent] | type[Team], module: str) -> None:
    known = {field.name for field in dataclasses.fields(cls)}
    theirs = given_to(module, cls.__name__)
    assert len(theirs) > 90
    assert theirs - known - set(REMOVED) == set()
    assert known & set(REMOVED) == set()


def test_every_option_of_agnos_tools_is_here_or_has_its_cure() -> None:
    kits = set(ToolkitOptions.__annotations__)
    assert given_to("tools/toolkit.py", "Toolkit") - kits == set(REMOVED_OF_TOOLKITS)
    text = agno().joinpath("tools", "decorator.py").read_text(encoding="utf-8")
    match = re.search(r"VALID_KWARGS = frozenset\(\s*(\{.*?\})", text, flags=re.DOTALL)
    assert match is not None
    assert ast.literal_eval(match[1]) - set(ToolOptions.__annotations__) == set(REMOVED_OF_TOOLS)
