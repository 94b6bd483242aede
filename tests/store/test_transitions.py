"""The statements that change the state of a run take the edges of the table, each of them and no others."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import musterd
import musterd.store
from musterd.core.records import StepState
from musterd.core.states import ACCEPTED_AS, EDGES, MEMBER_EDGES, Edges, RunState
from musterd.store import transitions
from musterd.store.database import Statement, Tx
from musterd.store.shards import shard_of
from musterd.store.transitions import Transition, transition
from tests.support.store import Records, member_of, statements_of

SOURCE = Path(musterd.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "runs.md"
TRANSITIONS = [statement for statement in statements_of(transitions) if isinstance(statement, Transition)]
CHANGES = [statement for statement in TRANSITIONS if statement.sources]
Pairs = set[tuple[RunState, RunState]]


def edges_of(statement: Transition) -> Pairs:
    return {(source, statement.target) for source in statement.sources}


def all_edges(table: Edges) -> Pairs:
    return {(source, target) for source, targets in table.items() for target in targets}


# The statements and the table


@pytest.mark.parametrize("is_of_members, table", [(False, EDGES), (True, MEMBER_EDGES)], ids=["roots", "members"])
def test_the_statements_take_every_edge_and_no_other(is_of_members: bool, table: Edges) -> None:
    written: Pairs = set()
    for statement in CHANGES:
        if statement.is_of_members is is_of_members:
            written |= edges_of(statement)
    assert written == all_edges(table)


def test_runs_are_created_in_these_states_and_no_others() -> None:
    created = {(statement.is_of_members, statement.target) for statement in TRANSITIONS if not statement.sources}
    assert created == {(False, state) for state in ACCEPTED_AS} | {(True, RunState.RUNNING)}


TEXT = "UPDATE runs SET NEW_STATE WHERE run_id = :run_id AND OLD_STATE"


@pytest.mark.parametrize("is_of_members, table", [(False, EDGES), (True, MEMBER_EDGES)], ids=["roots", "members"])
def test_no_statement_can_take_another_edge(is_of_members: bool, table: Edges) -> None:
    for source, target in set(product(RunState, RunState)) - all_edges(table):
        with pytest.raises(ValueError, match="the table does not have an edge"):
            transition("test", [source], target, TEXT, is_of_members=is_of_members)


def test_each_of_several_edges_is_checked() -> None:
    with pytest.raises(ValueError, match="the table does not have an edge"):
        transition("test", [RunState.READY, RunState.PAUSED], RunState.RUNNING, TEXT)
    with pytest.raises(ValueError, match="the table does not have an edge"):
        transition("test", [], RunState.RUNNING, TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE runs SET NEW_STATE WHERE run_id = :run_id",
        "UPDATE runs SET state = 'ready' WHERE OLD_STATE",
        "UPDATE runs SET NEW_STATE, NEW_STATE WHERE OLD_STATE",
    ],
)
def test_a_statement_without_its_guard_or_its_change_cannot_be_built(text: str) -> None:
    with pytest.raises(ValueError, match="OLD_STATE"):
        transition("test", [RunState.RUNNING], RunState.READY, text)


def test_the_text_has_the_states_and_the_next_version() -> None:
    one = transition("test", [RunState.RUNNING], RunState.READY, TEXT)
    assert (
        one.text
        == "UPDATE runs SET state = 'ready', version = version + 1 WHERE run_id = :run_id AND state = 'running'"
    )
    several = transition("test", [RunState.QUEUED, RunState.READY], RunState.ERROR, TEXT)
    assert several.text.endswith("AND state IN ('queued', 'ready')")


# The source


UPDATE = re.compile(r"UPDATE\s+runs\s+SET\b(.*?)(?:\bWHERE\b|\"\"\"|\"\n)", re.DOTALL)
INSERT = re.compile(r"INSERT\s+INTO\s+runs\b")


def updates() -> Iterator[tuple[str, str]]:
    """What each UPDATE of runs in the source sets, with the name of its file."""
    for path in sorted(SOURCE.rglob("*.py")):
        for assignments in UPDATE.findall(path.read_text()):
            yield path.relative_to(SOURCE).as_posix(), assignments


def test_no_other_file_writes_a_state() -> None:
    in_transitions = [text for file, text in updates() if file == "store/transitions.py"]
    assert all("NEW_STATE" in text and not re.search(r"\bstate\s*=", text) for text in in_transitions)
    elsewhere = [(file, text) for file, text in updates() if file != "store/transitions.py"]
    assert len(elsewhere) > 5, "the pattern finds statements"
    assert [(file, text) for file, text in elsewhere if re.search(r"\bstate\b|NEW_STATE", text)] == []
    inserting = [path for path in SOURCE.rglob("*.py") if INSERT.search(path.read_text())]
    assert inserting == [SOURCE / "store" / "transitions.py"]


def test_the_version_is_assigned_by_one_constant() -> None:
    assert [(file, text) for file, text in updates() if re.search(r"\bversion\s*=", text)] == []
    assert {file for file, text in updates() if "NEXT_VERSION" in text} == {"store/cancels.py", "store/steering.py"}


APPROVAL_STATES = {"pending", "decided", "consumed", "closed"}
STATES_IN_SQL = re.compile(r"\bstate (?:=|<>) '(\w+)'|\bstate IN \(([^)]*)\)")


def test_sql_names_only_states_that_exist() -> None:
    named: set[str] = set()
    for room in pkgutil.iter_modules(musterd.store.__path__, "musterd.store."):
        if room.ispkg or "postgres" in room.name:
            continue
        for statement in statements_of(importlib.import_module(room.name)):
            for one, several in STATES_IN_SQL.findall(statement.text):
                named |= {one} if one else set(re.findall(r"'(\w+)'", several))
    of_runs, of_steps = {state.value for state in RunState}, {state.value for state in StepState}
    assert of_runs <= named
    assert named <= of_runs | of_steps | APPROVAL_STATES


# The docs


def test_the_page_about_runs_lists_the_statements() -> None:
    listed: dict[str, Pairs] = {}
    for line in PAGE.read_text().split("## Transitions", 1)[1].split("\n## ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.search("`[A-Z_]+`", cells[2]):
            sources, targets = ([RunState(name) for name in re.findall(r"\w+", cell)] for cell in cells[:2])
            for name in re.findall("`([A-Z_]+)`", cells[2]):
                listed.setdefault(name, set()).update(product(sources, targets))
    built: dict[str, Pairs] = {}
    for name, value in vars(transitions).items():
        for statement in value.values() if isinstance(value, dict) else [value]:
            if isinstance(statement, Transition):
                built.setdefault(name, set()).update(edges_of(statement))
    assert listed == built


# The databases

SET_STATE = Statement(
    "test_set_state",
    "UPDATE runs SET state = :state, version = 0, attempt = 1, holder = NULL, not_before = NULL WHERE run_id = :run_id",
)
GET_STATE = Statement("test_get_state", "SELECT state, version FROM runs WHERE run_id = :run_id")
PARAMS = dict.fromkeys(["error_code", "expires_at", "first_token_at", "holder", "not_before", "totals", "activity"]) | {
    "attempt": 1,
    "below": "t0/%",
    "by": "client",
    "code": "deadline",
    "components": '["agent:solo"]',
    "count": 0,
    "crashes": 0,
    "in_all": 0,
    "lane": "s1",
    "min_crashes": 0,
    "limit": 9,
    "max_crashes": 9,
    "now": 200.0,
    "root": "r1",
    "run_ids": '["r1"]',
    "seq": 1,
    "worker": "w2",
}
"""Parameters with which each statement changes the run r1 or its member m1, if the state allows it."""


@pytest.mark.parametrize("statement", CHANGES, ids=lambda statement: statement.name)
async def test_a_statement_changes_only_runs_in_its_old_states(records: Records, statement: Transition) -> None:
    root = await records.started("r1")
    await records.append(root, started=[member_of(root, "m1")])
    run_id = "m1" if statement.is_of_members else "r1"

    async def execute_in(tx: Tx, state: RunState) -> tuple[RunState, int]:
        await tx.run(SET_STATE, {"run_id": run_id, "state": state.value})
        execute = tx.all if "RETURNING" in statement.text else tx.run
        await execute(statement, {**PARAMS, "shard": shard_of("s1"), "run_id": run_id, "state": state.value})
        row = await tx.one(GET_STATE, {"run_id": run_id})
        assert row is not None
        return RunState(row["state"]), row["version"]

    async def execute_in_each(tx: Tx) -> dict[RunState, tuple[RunState, int]]:
        return {state: await execute_in(tx, state) for state in RunState}

    assert await records.database.write(execute_in_each) == {
        state: (statement.target, 1) if state in statement.sources else (state, 0) for state in RunState
    }
