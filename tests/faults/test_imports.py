"""After an import is killed, no partial session is visible, and the next import continues."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.agentos_database import AgentOSTables, run
from tests.support.process import select

LONG = "x" * 400_000  # so that each run is a transaction of its own


def import_from(tables: AgentOSTables, url: str, fault: str = "") -> int:
    words = [sys.executable, "-m", "musterd", "import", "agno", tables.url, "--db", url]
    environment = {**os.environ, "MUSTERD_TEST_FAULT": fault}
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode


def rows(url: str, text: str) -> list[dict[str, Any]]:
    return select(url, text, {})


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_an_import_continues_after_a_kill(database_url: str, tmp_path: Path, passes: int) -> None:
    tables = AgentOSTables.beside(database_url, tmp_path)
    tables.add_session("s1", "agent", [run("agent", f"r{number}", LONG, str(number)) for number in range(1, 4)])
    tables.add_session("s2", "agent", [run("agent", "r4", "Short", "4")])
    tables.add_memory("k1", "Likes tea")
    assert import_from(tables, database_url, f"part_imported:{passes}:kill") == -9
    runs = rows(database_url, "SELECT run_id FROM runs")
    assert len(runs) == passes
    visible = rows(database_url, "SELECT session_id FROM sessions WHERE deleted_at IS NULL")
    assert visible == ([{"session_id": "s1"}] if passes == 3 else [])
    assert import_from(tables, database_url) == 0
    stored = rows(database_url, "SELECT session_id, run_id, seq FROM runs ORDER BY session_id, seq")
    assert [(row["run_id"], row["seq"]) for row in stored] == [("r1", 0), ("r2", 1), ("r3", 2), ("r4", 0)]
    sessions = rows(database_url, "SELECT session_id, next_seq, deleted_at FROM sessions ORDER BY session_id")
    assert sessions == [
        {"session_id": "s1", "next_seq": 3, "deleted_at": None},
        {"session_id": "s2", "next_seq": 1, "deleted_at": None},
    ]
    assert len(rows(database_url, "SELECT memory_id FROM memories")) == 1
