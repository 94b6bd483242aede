"""The tables of states and edges, and the diagrams of the docs. ``tests/store/test_transitions.py`` tests the SQL."""

import re
from itertools import product
from pathlib import Path

import pytest

from musterd.core.states import ACCEPTED_AS, EDGES, FINAL, MEMBER_EDGES, PENDING, RunState, is_edge

DOCS = Path(__file__).resolve().parents[3] / "docs"
TABLE = """
scheduled -> queued ready cancelled error
queued    -> ready cancelled error
ready     -> running cancelled error
running   -> completed error cancelled paused ready
paused    -> queued ready cancelled error
"""
MEMBER_TABLE = """
running -> completed error cancelled paused
paused  -> running cancelled error
"""


def edges_of(table: str) -> set[tuple[str, str]]:
    """The edges of a table above."""
    lines = (line.split("->") for line in table.strip().splitlines())
    return {(source.strip(), target) for source, targets in lines for target in targets.split()}


ALLOWED, ALLOWED_TO_MEMBERS = edges_of(TABLE), edges_of(MEMBER_TABLE)


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


@pytest.mark.parametrize("source, target", list(product(RunState, RunState)), ids=str)
def test_members_have_these_edges_and_no_others(source: RunState, target: RunState) -> None:
    assert is_edge(source, target, MEMBER_EDGES) == ((source.value, target.value) in ALLOWED_TO_MEMBERS)


def diagram(page: str) -> set[tuple[str, str]]:
    """The edges of the diagram of states on a page of the docs, without those that begin or end a run's life."""
    drawn = re.findall(r"^ +(\w+) --> (\w+)(?:: .*)?$", (DOCS / page).read_text(), flags=re.MULTILINE)
    assert drawn
    return set(drawn)


def test_the_docs_draw_these_edges() -> None:
    assert diagram("reference/states.md") == ALLOWED
    # The overview draws those to `cancelled` and `error` only from `running`, and says so.
    assert diagram("architecture.md") == {
        (source, target) for source, target in ALLOWED if source == "running" or target not in ("cancelled", "error")
    }
