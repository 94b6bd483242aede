"""``musterd import agno``: its report, exit codes and rejected inputs."""

import re
import sqlite3
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.store import inspection
from tests.support.agentos_database import BEGIN, AgentOSTables, run, tool
from tests.support.schemas import NEXT, become_next_release

pytestmark = pytest.mark.usefixtures("log_to_stderr")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "agno-apps.md"


@pytest.fixture
def tables(tmp_path: Path) -> AgentOSTables:
    return AgentOSTables.in_file(tmp_path / "agno.db")


def fill(tables: AgentOSTables) -> None:
    """Add the rows of the report in the guide."""
    calls = (tool("delegate_task_to_member", {"member_id": "weather-agent", "task": "Oslo?"}, "Sunny"),)
    member = run("agent", "m1", "Oslo?", "Sunny", parent_run_id="r1")
    tables.add_session("s1", "team", [member, run("team", "r1", "Ask", "It is sunny", calls)])
    paused = run("agent", "r3", "Refund", "", (tool("refund", {"amount": 4}, requires_confirmation=True),))
    tables.add_session("s2", "agent", [run("agent", "r2", "Hello", "Hi"), {**paused, "status": "PAUSED"}])
    tables.add_memory("k1", "Likes tea")
    tables.add_approval("a1", "r3", "pending")
    tables.execute("INSERT INTO agno_knowledge VALUES ('d1', 'doc')")


def test_the_guide_shows_the_real_report(
    tables: AgentOSTables, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tables)
    monkeypatch.chdir(tmp_path)
    section = PAGE.read_text(encoding="utf-8").partition("## Import the data\n")[2]
    commands, report = re.findall(r"^```(?:sh|text)\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)[:2]
    for command in commands.splitlines():
        assert main(command.split()[1:]) == 0
    dry, printed = capsys.readouterr().out, report
    assert dry.replace("would import", "imported") == printed * 2
    assert (tmp_path / "musterd.db").exists()


def test_a_dry_run_creates_no_database(tables: AgentOSTables, tmp_path: Path) -> None:
    fill(tables)
    before = (tmp_path / "agno.db").read_bytes()
    assert main(["import", "agno", str(tmp_path / "agno.db"), "--db", f"sqlite:///{tmp_path}/new.db", "--dry-run"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agno.db"]
    assert (tmp_path / "agno.db").read_bytes() == before


def test_skipped_rows_are_printed_and_set_the_exit_code(
    tables: AgentOSTables, tmp_path: Path, capsys: pytest.CaptureFixture[str], sqlite_file: Path
) -> None:
    for number in range(25):
        tables.add_memory(f"k{number}", "x" * 5001)
    assert main(["import", "agno", str(tmp_path / "agno.db"), "--db", f"sqlite:///{sqlite_file}"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "memories: 0 imported, 0 already present, 25 skipped" in lines
    assert "skipped: memory k0: the memory has 5001 characters; the limit is 5000" in lines
    assert lines[-1] == "skipped: 5 more, which --json lists"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{folder}/slip.db", "does not exist"),
        ("sqlite:///{folder}/slip.db", "does not exist"),
        ("{folder}/empty.db", "has no AgentOS 2.5 tables"),
        ("{folder}/text.db", "cannot be read (file is not a database)"),
        ("{folder}/old.db", "table agno_sessions lacks the columns agent_id, runs, team_id, updated_at"),
        ("mysql://root:secret@db/agno", "not a SQLite or Postgres database"),
    ],
)
def test_a_database_without_agentos_tables_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE sessions (session_id, state)")
    (tmp_path / "text.db").write_text("no database at all, but long enough to have a header")
    old = sqlite3.connect(tmp_path / "old.db")
    old.execute("CREATE TABLE agno_sessions (session_id, session_type, session_data, metadata, summary, created_at)")
    address = address.format(folder=tmp_path)
    assert main(["import", "agno", address, "--db", f"sqlite:///{tmp_path}/new.db"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "secret" not in error
    assert not (tmp_path / "new.db").exists()


def test_an_invalid_new_id_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "agno", str(tmp_path / "agno.db"), "--component", "a"]) == 2
    assert "--component a: not a new id — use old=new" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["sqlite:///", "sqlite+aiosqlite:///", ""])
def test_a_file_may_be_given_as_in_agentos(tables: AgentOSTables, tmp_path: Path, prefix: str) -> None:
    tables.add_memory("k1", "Likes tea", created_at=BEGIN)
    database = f"sqlite:///{tmp_path}/new.db"
    assert main(["import", "agno", f"{prefix}{tmp_path}/agno.db", "--db", database]) == 0


def test_a_dry_run_does_not_upgrade_the_schema(
    tables: AgentOSTables,
    tmp_path: Path,
    sqlite_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(tables)
    words = ["import", "agno", tables.url, "--db", f"sqlite:///{sqlite_file}"]
    assert main([*words, "--dry-run"]) == 0
    become_next_release(tmp_path, monkeypatch.setattr)
    assert main([*words, "--dry-run"]) == 2
    assert (
        f"a dry run does not upgrade it to {NEXT} — start this version of musterd on it once" in capsys.readouterr().err
    )
    assert inspection.revision(f"sqlite:///{sqlite_file}") == "v0001"
    assert main(words) == 0
