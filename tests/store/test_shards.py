"""The shard of a session is in all its rows, and in the statements on them."""

import re
import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import musterd.features
import musterd.store
from musterd.store import sessions
from musterd.store.shards import SessionTx, shard_of
from tests.support.partitions import may_scatter
from tests.support.store import Records, statements_of, step

BELOW_A_SESSION = {
    *("sessions", "runs", "run_io", "run_events", "journal", "run_attempts", "approvals", "run_messages"),
    *("deliveries", "blob_uses"),
}


def test_a_shard_is_always_the_same() -> None:
    """It is stored, so another result would lose the rows of the session."""
    assert (shard_of("s1"), shard_of("Gespräch")) == (14576, 17725)
    assert all(0 <= shard_of(f"session {number}") < 2**15 for number in range(1000))


def test_each_unique_key_below_a_session_ends_with_the_shard(template: Path) -> None:
    with closing(sqlite3.connect(template)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}
        sharded = {table for table in tables if "shard" in columns[table]}
        keys = {
            index: [row[2] for row in connection.execute(f"PRAGMA index_info({index})")]
            for table in sharded
            for _, index, is_unique, *_ in connection.execute(f"PRAGMA index_list({table})")
            if is_unique
        }
    assert sharded == BELOW_A_SESSION
    assert len(keys) == len(sharded) + 1, "the primary keys, and the holder of a queue"
    assert all(key[-1] == "shard" for key in keys.values()), keys


def test_each_statement_on_rows_below_a_session_names_the_shard_or_may_scatter() -> None:
    modules = [
        import_module(module.name)
        for package in (musterd.store, musterd.features)
        for module in walk_packages(package.__path__, f"{package.__name__}.")
        if "migrations" not in module.name
    ]
    statements = {statement.name: statement.text for module in modules for statement in statements_of(module)}
    table = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:{'|'.join(BELOW_A_SESSION)})\b")
    of_rows = {name for name, text in statements.items() if table.search(text)}
    assert len(of_rows) > 200
    assert {name for name in of_rows if ":shard" not in statements[name] and not may_scatter(name)} == set()


async def test_all_rows_of_a_run_have_the_shard_of_its_session(records: Records) -> None:
    run = await records.started("r1", "a session")
    await records.append(run, steps=[step(run, "t0/m")], contents=[b"a picture"])
    await records.settle(run)
    rows = await records.everything()
    for table in ("sessions", "runs", "run_io", "journal", "blob_uses"):
        assert {row["shard"] for row in rows[table]} == {shard_of("a session")}


async def test_a_statement_of_a_session_fails_outside_of_its_transaction(records: Records) -> None:
    await records.accept("r1", "s1")
    params = {"session_id": "s1"}
    with pytest.raises(Exception, match="shard"):
        await records.database.read(lambda tx: tx.one(sessions.GET, params))
    assert await records.database.read(lambda tx: SessionTx(tx, "other").one(sessions.GET, params)) is None
    row = await records.database.read(lambda tx: SessionTx(SessionTx(tx, "other"), "s1").one(sessions.GET, params))
    assert row is not None, "the inner transaction of another session does not count"
