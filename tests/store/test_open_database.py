"""A URL names its database, or says what is wrong with it."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from musterd.core.errors import StartError
from musterd.core.redacted_urls import redacted_url
from musterd.store.open_database import open_database
from musterd.store.postgres import PostgresDatabase
from musterd.store.sqlite import SqliteDatabase


def test_a_file(tmp_path: Path) -> None:
    db = open_database(f"sqlite:///{tmp_path}/musterd.db")
    assert isinstance(db, SqliteDatabase)
    assert db.path == tmp_path / "musterd.db"
    relative = open_database("sqlite:///musterd.db")
    assert isinstance(relative, SqliteDatabase)
    assert relative.path == Path("musterd.db").absolute()


@pytest.mark.parametrize("url", ["postgresql:///db?host=/run/postgresql", "postgres://me:pw@host:5433/db"])
def test_a_server(url: str) -> None:
    db = open_database(url)
    assert isinstance(db, PostgresDatabase)
    assert db.url == url


@pytest.mark.parametrize(
    "url, words",
    [
        ("musterd.db", "not a supported database URL"),
        ("sqlite://musterd.db", "sqlite:///relative.db"),
        ("sqlite:///", "not a supported database URL"),
        ("mysql://me:secret@host/db", "--db mysql://me@host/db: not a supported database"),
        ("postgresql+psycopg://me:secret@host/db", "names a driver — use postgresql://me@host/db"),
        ("postgresql:db", "not a supported database URL"),
    ],
)
def test_anything_else_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(StartError) as caught:
        open_database(url)
    assert words in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "url, expected",
    [
        ("postgresql://me:secret@host:5433/db?sslmode=require", "postgresql://me@host:5433/db"),
        ("postgresql://me@host/db?password=secret", "postgresql://me@host/db"),
        ("postgresql://me@host/db?password=se@secret", "postgresql://me@host/db"),
        ("postgresql://me:se?secret@host/db", "postgresql://…"),
        ("postgresql:///db?host=/run/pg&p%61ssword=secret&port=1", "postgresql:///db?host=/run/pg&port=1"),
        ("sqlite:////data/a@b/x?y.db", "sqlite:////data/a@b/x?y.db"),
    ],
)
def test_no_password_is_shown(url: str, expected: str) -> None:
    assert redacted_url(url) == expected


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_psycopg(name: str, *args: Any, **named: Any) -> Any:
        if name == "musterd.store.postgres":
            raise ImportError("No module named 'psycopg'", name="psycopg")
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)
    with pytest.raises(StartError, match=r"requires psycopg .* pip install 'musterd\[postgres\]'"):
        open_database("postgresql://me:secret@host/db")
