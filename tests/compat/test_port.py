"""The page for those who come from Agno: the names that it says exist, there and here."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

from tests.compat.conftest import PYTHON, ROOT, missing

PAGE = (ROOT / "docs" / "howto" / "from-agno.md").read_text(encoding="utf-8")
THEIRS = sorted(set(re.findall(r"`(agno(?:\.\w+)+)`", PAGE)))
OURS = sorted(set(re.findall(r"`(musterd(?:\.\w+)+)`", PAGE)) - {"musterd.guards"})


@functools.cache
def agno() -> Path:
    """Where the clients' environment has Agno."""
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    (found,) = PYTHON.parent.parent.glob("lib/python*/site-packages/agno")
    return found


def declared(module: Path) -> set[str]:
    """The names that a module, or a package's `__init__`, binds."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


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
