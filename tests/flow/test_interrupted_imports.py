"""An interrupted import leaves a hidden part of a session. Only an import of the same session continues with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from musterd.cli.main import main
from musterd.core import faults
from musterd.store.database import Statement
from tests.support.agentos_database import AgentOSTables, run
from tests.support.process import do, select

LONG = "x" * 400_000  # so that each run is a transaction of its own


class Imports:
    """Imports AgentOS databases into the test's database."""

    def __init__(
        self, url: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._url, self._folder, self._capsys, self._monkeypatch = url, folder, capsys, monkeypatch

    def half(self, *options: str) -> AgentOSTables:
        """The AgentOS of alice, after an import that was interrupted between the two runs of her session."""
        tables = self.agentos("alice", run("agent", "r1", LONG, "hers"), run("agent", "r2", LONG, "hers"))
        with self._monkeypatch.context() as patch:
            patch.setattr(faults, "point", _interrupt)
            assert main(["import", "agno", tables.url, "--db", self._url, *options]) == 130
        assert self.rows("SELECT run_id FROM runs") == [{"run_id": "r1"}]
        return tables

    def agentos(self, user_id: str, *runs: dict[str, Any]) -> AgentOSTables:
        """An AgentOS database with a session ``chat`` of a user."""
        tables = AgentOSTables.in_file(self._folder / f"{user_id}.db")
        tables.add_session("chat", "agent", [{**item, "user_id": user_id} for item in runs], user_id=user_id)
        return tables

    def reasons(self, tables: AgentOSTables, *options: str) -> list[str]:
        """Import, and return the reasons of what was skipped."""
        self._capsys.readouterr()
        main(["import", "agno", tables.url, "--db", self._url, "--json", *options])
        return [row["reason"] for row in json.loads(self._capsys.readouterr().out)["skipped"]]

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Rows of the test's database."""
        return select(self._url, text, {})

    def mark_as_fork(self) -> None:
        """Make all sessions look like forks."""
        mark = Statement("test_mark_as_fork", "UPDATE sessions SET forked_from = 's1'")
        do(self._url, lambda tx: tx.run(mark, {}))


def _interrupt(name: str) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def imports(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Imports:
    return Imports(database_url, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("owned", ["--owned", "--no-owned"])
def test_the_session_of_another_user_is_not_continued(imports: Imports, owned: str) -> None:
    alices = imports.half(owned)
    bobs = imports.agentos("bob", run("agent", "b1", "Hello", "his"))
    for options in ((owned, "--dry-run"), (owned,)):
        (reason,) = imports.reasons(bobs, *options)
        assert reason.startswith("an interrupted import stored a part of the session for another owner")
    assert imports.rows("SELECT session_id FROM sessions WHERE deleted_at IS NULL") == []
    assert imports.reasons(alices, owned) == []
    assert imports.rows("SELECT run_id FROM runs ORDER BY seq") == [{"run_id": "r1"}, {"run_id": "r2"}]


def test_a_session_is_not_continued_for_another_owner(imports: Imports) -> None:
    alices = imports.half("--no-owned")
    (reason,) = imports.reasons(alices, "--owned")
    assert "import with the same --owned or --no-owned as before" in reason
    assert imports.reasons(alices, "--no-owned") == []
    assert imports.rows("SELECT owner FROM runs") == [{"owner": None}] * 2


def test_a_fork_is_not_filled(imports: Imports) -> None:
    alices = imports.half()
    imports.mark_as_fork()
    assert imports.reasons(alices) == ["a fork with this session id is being made in musterd"]


def test_agentos_removed_or_added_runs_meanwhile(imports: Imports) -> None:
    tables = imports.half()
    runs = [{**run("agent", f"r{number}", LONG, "hers"), "user_id": "alice"} for number in (0, 1, 2, 3)]
    tables.execute("DELETE FROM agno_sessions")
    tables.add_session("chat", "agent", runs[2:], user_id="alice")
    (reason,) = imports.reasons(tables)
    assert "stored runs of the session that this AgentOS database does not have" in reason
    tables.execute("DELETE FROM agno_sessions")
    tables.add_session("chat", "agent", runs, user_id="alice", session_data={"session_state": {"seen": 4}})
    assert imports.reasons(tables) == []
    stored = imports.rows("SELECT run_id, seq FROM runs ORDER BY seq")
    assert [(row["run_id"], row["seq"]) for row in stored] == [("r1", 0), ("r0", 1), ("r2", 2), ("r3", 3)]
    session = {"next_seq": 4, "deleted_at": None, "state": '{"seen":4}'}
    assert imports.rows("SELECT next_seq, deleted_at, state FROM sessions") == [session]
