"""The table of states: the code, SQL, the essay and the edges that each transaction may take say the same."""

import importlib
import pkgutil
import re
from itertools import product
from pathlib import Path

import pytest

import musterd.store
from musterd.core.records import StepState
from musterd.core.states import ACCEPTED_AS, EDGES, FINAL, PENDING, RunState, is_edge
from musterd.store.database import Statement

DOCS = Path(__file__).resolve().parents[3] / "docs"
TABLE = """
scheduled -> queued ready cancelled error
queued    -> ready cancelled error
ready     -> running cancelled error
running   -> completed error cancelled paused ready
paused    -> queued ready cancelled error
"""
ALLOWED = {
    (source.strip(), target)
    for source, targets in (line.split("->") for line in TABLE.strip().splitlines())
    for target in targets.split()
}


@pytest.mark.parametrize("source, target", list(product(RunState, RunState)), ids=str)
def test_these_edges_and_no_others(source: RunState, target: RunState) -> None:
    assert is_edge(source, target) == ((source.value, target.value) in ALLOWED)


def test_every_state_stands_in_the_table() -> None:
    assert set(EDGES) == set(RunState)


def test_the_end_is_the_end() -> None:
    assert {state for state in RunState if not EDGES[state]} == FINAL == {state for state in RunState if state.is_final}
    assert {state for state in RunState if state.is_settled} == FINAL | {RunState.PAUSED}


def test_every_state_is_reached_from_an_acceptance_and_can_end() -> None:
    reached, left = set(ACCEPTED_AS), list(ACCEPTED_AS)
    while left:
        new = EDGES[left.pop()] - reached
        reached |= new
        left.extend(new)
    assert reached == set(RunState)
    assert all(EDGES[state] & FINAL for state in RunState if not state.is_final)
    assert ACCEPTED_AS - {RunState.RUNNING} == PENDING


def statements() -> list[Statement]:
    """Every statement of the store's rooms that are written as Statement constants."""
    found: list[Statement] = []
    for room in pkgutil.iter_modules(musterd.store.__path__, "musterd.store."):
        if room.ispkg or "postgres" in room.name:
            continue
        for value in vars(importlib.import_module(room.name)).values():
            if isinstance(value, Statement):
                found.append(value)
    return found


APPROVAL_STATES = {"pending", "decided", "consumed", "closed"}
STATES_IN_SQL = re.compile(r"\bstate (?:=|<>) '(\w+)'|\bstate IN \(([^)]*)\)")


def test_sql_speaks_of_these_states() -> None:
    named: set[str] = set()
    for statement in statements():
        for one, many in STATES_IN_SQL.findall(statement.text):
            named |= {one} if one else set(re.findall(r"'(\w+)'", many))
    of_runs, of_steps = {state.value for state in RunState}, {state.value for state in StepState}
    assert of_runs <= named
    assert named <= of_runs | of_steps | APPROVAL_STATES


UPDATE = re.compile(r"(.*)UPDATE runs SET (.*?)\s+WHERE\s+(.*)", re.DOTALL)


def test_sql_takes_only_edges_of_the_table() -> None:
    """Where a statement names both the state before and the state after, that is an edge."""
    edges: set[tuple[str, str]] = set()
    for statement in statements():
        found = UPDATE.search(statement.text)
        if found is None or "parent_id IS NOT NULL" in found[3]:  # members follow their root
            continue
        after = re.findall(r"\bstate = '(\w+)'", found[2])
        before = re.findall(r"\bstate = '(\w+)'", found[1] + found[3])
        edges |= {(old, new) for old in before[:1] for new in after[:1]}
    assert ("ready", "running") in edges
    assert ("queued", "ready") in edges
    assert ("running", "ready") in edges
    assert edges <= ALLOWED


def test_the_essay_has_the_same_names() -> None:
    text = (DOCS / "architecture.md").read_text().split("## States", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("|")][2:]
    words = [({*re.findall(r"\w+", source)}, {*re.findall(r"\w+", target)}) for source, target in rows]
    states = {state.value for state in RunState}
    for sources, targets in words:
        assert targets <= states
        if sources:
            assert sources <= states
            assert all((source, target) in ALLOWED for source in sources for target in targets)
        else:
            assert targets <= {state.value for state in ACCEPTED_AS}
