"""Retention: how fast old runs are removed, and how long a run takes in the meantime."""

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench.client import Client, leader_work
from bench.figures import Bar, Figure
from bench.servers import Musterd, NoFigure
from bench.stores import Store, select
from bench.trial import Bench

OLD_RUNS = 20_000
DAYS = 20
"""The old runs were accepted on so many days, the last of them 40 days ago."""
LAST_DAYS_AGO = 40
DAY_SECONDS = 86_400.0
QUIET_RUNS = 300
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 120.0
TABLES = ("sessions", "runs", "run_io", "run_events", "journal", "requests")
SPEED, HELD_UP = Bar(at_least=2000), Bar(at_most=50)

Rows = list[dict[str, Any]]


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer keeps its runs for ever."""
    figures = []
    for store in bench.stores:
        figures += await on(bench, store)
    return figures


async def on(bench: Bench, store: Store) -> list[Figure]:
    """Fill a database with old runs, then serve it with retention on, and run one run after the other."""
    count = bench.times(OLD_RUNS)
    with store.fresh() as url:
        with Musterd(bench.model.base_url, db=url) as server:
            async with Client(server.url) as client:
                run = await client.run(leader_work())
                quiet = [await _timed(client) for _ in range(bench.times(QUIET_RUNS))]
        await asyncio.to_thread(_fill, url, run["run_id"], run["session_id"], count)
        with Musterd(bench.model.base_url, {"MUSTERD_RETENTION_DAYS": "30"}, url) as server:
            async with Client(server.url) as client:
                await client.run(leader_work())  # the first one in a process imports the provider's SDK
                left, before = await _left(url), server.cpu()
                busy, began = [], time.perf_counter()
                gone = asyncio.create_task(_until_gone(url))
                while not gone.done():
                    busy.append(await _timed(client))
                seconds = await gone - began
                cpu = server.cpu() - before
    name = f"retention, {count:,} old runs, {store.name}"
    return [
        Figure(name=f"{name}: runs removed a second", unit="", ours=left / seconds, bar=SPEED),
        Figure(name=f"{name}: longest run before", unit="ms", ours=max(quiet) * 1000),
        Figure(name=f"{name}: longest run meanwhile", unit="ms", ours=max(busy) * 1000),
        Figure(
            name=f"{name}: held up, p99 meanwhile less p99 before",
            unit="ms",
            ours=(_share(busy, 0.99) - _share(quiet, 0.99)) * 1000,
            bar=HELD_UP,
        ),
        Figure(name=f"{name}: runs finished meanwhile", unit="", ours=len(busy)),
        Figure(name=f"{name}: CPU a second, all", unit="ms", ours=cpu * 1000 / seconds),
    ]


async def _timed(client: Client) -> float:
    began = time.perf_counter()
    await client.run(leader_work())
    return time.perf_counter() - began


def _share(seconds: Sequence[float], share: float) -> float:
    return sorted(seconds)[int(share * (len(seconds) - 1))]


async def _left(url: str) -> int:
    """How many old runs are left."""
    latest = time.time() - (LAST_DAYS_AGO - 1) * DAY_SECONDS
    (row,) = await select(url, f"SELECT count(*) AS n FROM runs WHERE created_at < {latest}")  # noqa: S608
    return int(row["n"])


async def _until_gone(url: str) -> float:
    """Wait until no old run is left; when that was seen."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while time.perf_counter() < deadline:
        if not await _left(url):
            return time.perf_counter()
        await asyncio.sleep(LOOK_SECONDS)
    raise NoFigure("old runs are still there")


def _fill(url: str, run_id: str, session_id: str, count: int) -> None:
    """Copy one run, with its session, so often, each on its own day."""
    names = {run_id: "run", session_id: "session"}
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.row_factory = sqlite3.Row
            for table in TABLES:
                rows = [dict(row) for row in file.execute(_of(table, run_id, session_id))]
                for columns, copies in _copies(rows, names, count):
                    marks = ", ".join(f":{column}" for column in columns)
                    file.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", copies)  # noqa: S608
            file.commit()
        return
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for table in TABLES:
            rows = connection.execute(_of(table, run_id, session_id).encode()).fetchall()
            for columns, copies in _copies(rows, names, count):
                with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()) as copy:
                    for row in copies:
                        copy.write_row([row[column] for column in columns])
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")


def _of(table: str, run_id: str, session_id: str) -> str:
    column = {"sessions": "session_id", "runs": "root_id", "run_events": "root_id", "journal": "root_id"}
    value = session_id if table == "sessions" else run_id
    return f"SELECT * FROM {table} WHERE {column.get(table, 'run_id')} = '{value}'"  # noqa: S608


def _copies(rows: Rows, names: dict[str, str], count: int) -> Iterable[tuple[list[str], Iterable[dict[str, Any]]]]:
    for row in rows:
        yield list(row), [_copy(row, names, number, count) for number in range(count)]


def _copy(row: dict[str, Any], names: dict[str, str], number: int, count: int) -> dict[str, Any]:
    """A row of the copy of this number: other ids, and an earlier time."""
    earlier = (LAST_DAYS_AGO + DAYS * (1 - number / count)) * DAY_SECONDS
    copy = dict(row)
    for column, value in row.items():
        if column.endswith("_at") and isinstance(value, float):
            copy[column] = value - earlier
        elif isinstance(value, str):
            for name, kind in names.items():
                copy[column] = copy[column].replace(name, str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}")))
                short = name.replace("-", "")
                if short != name and short in copy[column]:
                    copy[column] = copy[column].replace(short, uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}").hex)
    return copy
