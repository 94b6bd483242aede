"""``musterd knowledge``: contents of knowledge bases without a server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.features.knowledge import store
from musterd.store.open_database import open_database
from tests.support.knowledge_contents import fake_embedders

pytestmark = pytest.mark.usefixtures("log_to_stderr")


@pytest.fixture(autouse=True)
def embedders() -> Iterator[None]:
    """Embedders that need no packages."""
    with fake_embedders():
        yield


@pytest.fixture
def db(sqlite_file: Path) -> str:
    """A database in which a server has declared a knowledge base."""
    url = f"sqlite:///{sqlite_file}"

    declare_base(url, "docs", "fake:builtin", "builtin")
    return url


def declare_base(url: str, base_id: str, embedder: str, spec: str | None) -> None:
    """Store a knowledge base as a server does."""

    async def declare() -> None:
        database = open_database(url)
        await database.open()
        await database.write(lambda tx: store.ensure_base(tx, base_id, embedder, spec, 1.0))
        await database.close()

    asyncio.run(declare())


def test_files_are_added_listed_and_removed(db: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.md", tmp_path / "b.txt"
    first.write_text("# Apples")
    second.write_text("pears")
    assert main(["knowledge", "add", "docs", str(first), str(second), "--db", db]) == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert main(["knowledge", "ls", "docs", "--db", db]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"a.md\tmarkdown\t0\tqueued\t\t{ids[0]}",
        f"b.txt\ttext\t0\tqueued\t\t{ids[1]}",
    ]
    assert main(["knowledge", "ls", "docs", "--json", "--db", db]) == 0
    contents = json.loads(capsys.readouterr().out)
    assert [(content["id"], content["name"]) for content in contents] == [(ids[0], "a.md"), (ids[1], "b.txt")]
    assert main(["knowledge", "rm", "docs", "a.md", "--db", db]) == 0
    assert main(["knowledge", "ls", "docs", "--db", db]) == 0
    assert "a.md" not in capsys.readouterr().out


def test_a_folder_is_compared(db: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("apples")
    (folder / "b.pdf").write_text("no pdf")
    assert main(["knowledge", "sync", "docs", str(folder), "--db", db]) == 1
    output = capsys.readouterr()
    added, left_out = output.out.splitlines()
    assert "1 to read, 0 unchanged, 0 removed, 1 left out." in output.err
    assert (added, left_out.startswith("left out  b.pdf: ")) == ("added  a.txt", True)
    (folder / "b.pdf").unlink()
    assert main(["knowledge", "sync", "docs", str(folder), "--db", db]) == 0
    output = capsys.readouterr()
    assert (output.out, "0 to read, 1 unchanged, 0 removed, 0 left out." in output.err) == ("", True)
    (folder / "a.txt").unlink()
    assert main(["knowledge", "sync", "docs", str(folder), "--db", db]) == 0
    assert capsys.readouterr().out.splitlines() == ["removed  a.txt"]


def test_a_search_without_contents_prints_nothing(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "search", "docs", "apples", "--db", db]) == 0
    assert capsys.readouterr().out == ""
    assert main(["knowledge", "search", "docs", "apples", "--json", "--db", db]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_search_without_vectors_says_so(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    declare_base(db, "own", "an:object", None)
    for base, is_said in (("docs", False), ("own", True)):
        assert main(["knowledge", "search", base, "apples", "--json", "--db", db]) == 0
        output = capsys.readouterr()
        assert json.loads(output.out) == []
        assert ("Only words were compared" in output.err) is is_said


@pytest.mark.parametrize(
    "words, problem",
    [
        (["ls", "zzz"], "zzz: there is no such knowledge base here; there are docs"),
        (["rm", "docs", "zzz"], "zzz: there is no such content in docs"),
        (["add", "docs", "missing.txt"], "missing.txt: cannot be read"),
        (["sync", "docs", "missing"], "missing is not a folder"),
    ],
)
def test_what_does_not_exist_is_named(
    db: str, words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["knowledge", *words, "--db", db]) == 2
    assert problem in capsys.readouterr().err
