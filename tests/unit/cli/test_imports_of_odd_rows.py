"""``musterd import agno``: a row with an unexpected value is skipped with the reason, and all others are imported."""

import json
from pathlib import Path
from typing import Any

import pytest

from musterd.cli.main import main
from musterd.imports.values import MAX_NESTING
from tests.support.agentos_database import BEGIN, AgentOSTables, run, workflow_run
from tests.support.process import select

pytestmark = pytest.mark.usefixtures("log_to_stderr")


@pytest.fixture
def tables(tmp_path: Path) -> AgentOSTables:
    tables = AgentOSTables.in_file(tmp_path / "agno.db")
    tables.add_session("good", "agent", [run("agent", "r1", "Hello", "Hi")])
    tables.add_memory("k1", "Likes tea")
    return tables


class Target:
    """A database that is imported into."""

    def __init__(self, tables: AgentOSTables, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._tables, self.url, self._capsys = tables, f"sqlite:///{file}", capsys

    def skipped(self) -> list[tuple[str, str, str]]:
        """Import, and return what was skipped: kind, id and reason. Everything that is good has to be there."""
        code = main(["import", "agno", self._tables.url, "--db", self.url, "--json"])
        report = json.loads(self._capsys.readouterr().out)
        assert code == (1 if report["skipped"] else 0)
        assert select(self.url, "SELECT run_id FROM runs WHERE session_id = 'good'", {}) == [{"run_id": "r1"}]
        assert select(self.url, "SELECT memory FROM memories WHERE memory_id = 'k1'", {}) == [{"memory": "Likes tea"}]
        return [(row["kind"], row["id"], row["reason"]) for row in report["skipped"]]


@pytest.fixture
def target(tables: AgentOSTables, sqlite_file: Path, capsys: pytest.CaptureFixture[str]) -> Target:
    return Target(tables, sqlite_file, capsys)


@pytest.mark.parametrize(
    ("change", "row_id", "says"),
    [
        ("user_id = CAST(x'ff41' AS TEXT)", "bad", "user_id is not UTF-8 text"),
        ("runs = CAST(x'22ff22' AS TEXT)", "bad", "runs is not UTF-8 text"),
        ("user_id = x'ff41'", "bad", "cannot be converted (TypeError: "),
        ("session_id = x'ff41'", r"b'\xffA'", "session_id is missing, too long or contains control characters"),
        ("session_id = CAST(x'ff41' AS TEXT)", "?A", "session_id is not UTF-8 text"),
    ],
)
def test_a_value_of_another_type_or_encoding(
    tables: AgentOSTables, target: Target, change: str, row_id: str, says: str
) -> None:
    tables.add_session("bad", "agent", [run("agent", "r2", "Hello", "Hi")])
    tables.execute(f"UPDATE agno_sessions SET {change} WHERE session_id = 'bad'")  # noqa: S608 - from this file
    ((kind, skipped_id, reason),) = target.skipped()
    assert (kind, skipped_id) == ("sessions", row_id)
    assert says in reason


def test_rows_without_an_id(tables: AgentOSTables, target: Target) -> None:
    tables.execute("ALTER TABLE agno_memories RENAME TO old")
    tables.execute("CREATE TABLE agno_memories AS SELECT * FROM old")
    tables.execute("DROP TABLE old")
    for _ in range(2):
        tables.execute("INSERT INTO agno_memories (memory) VALUES ('\"Likes coffee\"')")
    assert target.skipped() == [("memories", "", "it has no id")] * 2


def test_rows_with_the_same_id(tables: AgentOSTables, target: Target) -> None:
    tables.execute("ALTER TABLE agno_memories RENAME TO old")
    tables.execute("CREATE TABLE agno_memories AS SELECT * FROM old")
    tables.execute("DROP TABLE old")
    for text in ("milk", "wine"):
        tables.add_memory("k2", f"Likes {text}")
    assert target.skipped() == [("memories", "k2", "several rows have this id")] * 2


def nest(tables: AgentOSTables, column: str, session_id: str, depth: int) -> None:
    """Replace the mark @@ in a column by nested lists, which Python's encoder could not write."""
    nested = json.dumps("[" * depth + "]" * depth)[1:-1]
    tables.execute(
        f"UPDATE agno_sessions SET {column} = replace({column}, :mark, :nested) WHERE session_id = :id",  # noqa: S608
        mark=json.dumps('"@@"')[1:-1],
        nested=nested,
        id=session_id,
    )


@pytest.mark.parametrize("depth", [MAX_NESTING, 700, 980])
def test_a_run_that_is_nested_too_deeply(tables: AgentOSTables, target: Target, depth: int) -> None:
    tables.add_session("deep", "agent", [run("agent", "r2", "Hello", "@@"), run("agent", "r3", "Bye", "Bye")])
    nest(tables, "runs", "deep", depth)
    expected = ("runs", "r2", f"it is nested deeper than {MAX_NESTING} levels")
    assert target.skipped() == [expected]
    assert select(target.url, "SELECT run_id FROM runs WHERE session_id = 'deep'", {}) == [{"run_id": "r3"}]


@pytest.mark.parametrize(("name", "skipped_id"), [("run_id", ""), ("parent_run_id", "t2")])
@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 980])
def test_a_run_whose_ids_are_nested_too_deeply(
    tables: AgentOSTables, target: Target, name: str, skipped_id: str, depth: int
) -> None:
    odd = {**run("team", "t2", "Hello", "Hi"), "member_responses": [run("agent", "m2", "Hello", "Hi")], name: "@@"}
    tables.add_session("deep", "team", [odd, run("team", "t3", "Bye", "Bye")])
    nest(tables, "runs", "deep", depth)
    assert target.skipped() == [
        ("runs", skipped_id, f"it is nested deeper than {MAX_NESTING} levels"),
        ("runs", "m2", "the run that started it cannot be imported"),
    ]
    assert select(target.url, "SELECT run_id FROM runs WHERE session_id = 'deep'", {}) == [{"run_id": "t3"}]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"messages": "x"}, "messages is not a list"),
        ({"messages": ["x"]}, "messages is not a list of objects"),
        ({"workflow_agent_run": "x"}, "workflow_agent_run is not an object"),
        ({"step_results": "x"}, "step_results is not a list"),
    ],
)
def test_a_workflow_run_with_a_value_of_another_type(
    tables: AgentOSTables, target: Target, values: dict[str, Any], says: str
) -> None:
    odd, good = (workflow_run(f"w{number}", run("agent", f"step{number}", "Write", "Hi")) for number in (1, 2))
    tables.add_session("flows", "workflow", [{**odd, **values}, good])
    assert sorted(target.skipped()) == [
        ("runs", "step1", "the run that started it cannot be imported"),
        ("runs", "w1", says),
    ]
    imported = select(target.url, "SELECT run_id, root_id FROM runs WHERE session_id = 'flows' ORDER BY run_id", {})
    assert imported == [{"run_id": "step2", "root_id": "w2"}, {"run_id": "w2", "root_id": "w2"}]


def test_a_session_state_that_is_nested_too_deeply(tables: AgentOSTables, target: Target) -> None:
    state = {"session_state": {"a": "@@"}}
    tables.add_session("deep", "agent", [run("agent", "r2", "Hello", "Hi")], session_data=state)
    nest(tables, "session_data", "deep", 980)
    assert target.skipped() == [("sessions", "deep", f"it is nested deeper than {MAX_NESTING} levels")]


@pytest.mark.parametrize("value", [9e15, 1e11, -9e15, -1, 40_000_000_000])
def test_a_duration_that_is_none(tables: AgentOSTables, target: Target, value: float) -> None:
    metrics = {"duration": value, "time_to_first_token": value}
    tables.add_session("s1", "agent", [run("agent", "r2", "Hello", "Hi", metrics=metrics)])
    assert target.skipped() == []
    (row,) = select(target.url, "SELECT started_at, first_token_at, ended_at FROM runs WHERE run_id = 'r2'", {})
    assert row == {"started_at": BEGIN + 20, "first_token_at": None, "ended_at": BEGIN + 20}
