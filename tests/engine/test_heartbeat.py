"""Who is dead, by the observer's own clock."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from musterd import Agent
from musterd.core.settings import Settings
from musterd.engine.heartbeat import Heartbeat, HeartbeatObserver
from musterd.engine.membership import Membership
from musterd.store import workers
from musterd.store.database import Tx
from musterd.store.postgres import PostgresDatabase
from musterd.store.workers import Released
from tests.engine.conftest import Engines
from tests.support.engine import PATIENCE_SECONDS, EngineHarness, harness_on, running
from tests.support.process import is_suspended
from tests.support.store import HERE


class Watch:
    """An observer whose clock the test moves."""

    def __init__(self, free: set[str] | None = None) -> None:
        self.now, self.free = 100.0, free or set()
        self.own_beat_at, self.is_cut_off = self.now, False
        self.observer = HeartbeatObserver(
            "own", lambda: self.own_beat_at, lambda worker: worker in self.free, 4.0, 1.0, lambda: self.now
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if not self.is_cut_off:
            self.own_beat_at = self.now

    def look(self, seconds: float, **beats: int | None) -> list[str]:
        self.wait(seconds)
        return list(self.observer.look(beats))


def test_a_counter_that_stands_still_is_death() -> None:
    watch = Watch()
    assert watch.look(0, w=7) == []
    assert [watch.look(1, w=7) for _ in range(3)] == [[], [], []]
    assert watch.look(1, w=7) == ["w"]
    assert watch.observer.others == []


def test_a_counter_that_moves_is_life() -> None:
    watch = Watch()
    assert [watch.look(1, w=beat // 3) for beat in range(30)] == [[]] * 30
    assert watch.observer.others == ["w"]


def test_a_free_lock_is_death_at_once() -> None:
    watch = Watch({"w"})
    assert watch.look(0, w=1, own=1, other=1) == ["w"]
    assert not watch.observer.has_freed_lock()
    watch.free.add("other")
    assert watch.observer.has_freed_lock()


def test_an_observer_that_was_stopped_itself_knows_nothing_of_the_time_it_missed() -> None:
    watch = Watch()
    watch.look(0, w=1)
    assert watch.look(3600, w=1) == [], "the other may have stood still with it"
    assert watch.look(1, w=2) == []


def test_silence_does_not_count_while_the_observer_stores_no_heartbeat_itself() -> None:
    watch = Watch()
    watch.look(0, w=1)
    watch.look(1, w=1)
    watch.is_cut_off = True
    assert [watch.look(1, w=1) for _ in range(10)] == [[]] * 10
    watch.is_cut_off = False
    assert [watch.look(1, w=1) for _ in range(3)] == [[], [], []], "the other one needs time for its next heartbeat"
    assert watch.look(2, w=1) == ["w"]


def test_counters_start_again_after_an_outage_in_which_nothing_could_be_read() -> None:
    watch = Watch()
    watch.look(0, w=1)
    watch.look(1.9, w=1)
    assert watch.look(10, w=1) == []
    assert [watch.look(1.5, w=1) for _ in range(3)] == [[], [], ["w"]]


def test_beats_between_two_looks_count() -> None:
    watch = Watch()
    watch.look(0, w=1, other=1)
    for _ in range(3):
        watch.wait(1)
        watch.observer.note({"w": 1, "other": 1})
    assert watch.look(1, w=1, other=2) == ["w"]
    watch.observer.note({"w": 1})
    assert watch.observer.silent_seconds("other") is None, "it has left"


def test_a_worker_that_returns_is_observed_anew() -> None:
    watch = Watch()
    watch.look(0, w=0)
    assert [watch.look(2, w=0) for _ in range(3)] == [[], ["w"], ["w"]], "until its runs are reassigned"
    watch.observer.forget("w")
    assert watch.look(1, w=0) == []


def test_one_that_holds_runs_and_is_not_announced_is_dead_too_in_time() -> None:
    watch = Watch()
    assert [watch.look(1.5, w=None) for _ in range(4)] == [[], [], [], ["w"]]


async def test_nobody_beats_who_is_alone(harness: EngineHarness) -> None:
    own = harness.engine.worker_id
    with_another = [{"id": own, "heartbeat": 1}, {"id": "x", "heartbeat": 0}]
    assert await harness.database.write(lambda tx: workers.beat(tx, own, 5.0)) == {own: 0}
    assert await harness.records.select("SELECT id, heartbeat FROM workers") == [{"id": own, "heartbeat": 0}]
    await harness.database.write(lambda tx: workers.add(tx, "x", [], HERE))
    assert await harness.database.write(lambda tx: workers.beat(tx, own, 5.0)) == {own: 0, "x": 0}
    worker_rows = await harness.records.select("SELECT id, heartbeat FROM workers ORDER BY id = 'x'")
    assert worker_rows == with_another
    assert "nobody" not in await harness.database.write(lambda tx: workers.beat(tx, "nobody", 5.0))


async def test_the_thread_tells_when_its_worker_was_taken_for_dead(harness: EngineHarness) -> None:
    is_lost = threading.Event()
    beats = Heartbeat(harness.database, "gone", 0.001, lambda _: None, is_lost.set)
    before = beats.last_beat_at
    beats.start()
    await asyncio.to_thread(is_lost.wait)
    beats.stop()
    await asyncio.to_thread(beats.join)
    assert beats.last_beat_at == before, "a beat that finds no row shows nobody that it is alive"


async def test_one_that_was_taken_for_dead_is_announced_again(engines: Engines) -> None:
    async with engines(upkeep_seconds=3600, beat_seconds=0.001) as harness:
        await taken_for_dead(harness)
        await announced(harness)
        assert (await harness.run("hi", "r1")).row.attempt == 1


async def test_one_that_is_announced_again_holds_its_lock(file_engines: Engines, sqlite_file: Path) -> None:
    async with file_engines(upkeep_seconds=3600, beat_seconds=0.001) as harness:
        own = harness.engine.worker_id
        lock = sqlite_file.with_name(f"{sqlite_file.name}.worker-{own}")

        async def take_over(tx: Tx) -> None:
            await workers.release_runs(tx, own, 1.0, crashed=True)
            lock.unlink()  # before the commit, because the next beat may follow it at once

        await harness.database.write(take_over)
        await announced(harness)
        assert lock.exists()


async def taken_for_dead(harness: EngineHarness) -> None:
    own = harness.engine.worker_id
    await harness.database.write(lambda tx: workers.release_runs(tx, own, 1.0, crashed=True))


async def announced(harness: EngineHarness) -> None:
    own = harness.engine.worker_id
    while await harness.records.select("SELECT id FROM workers") != [{"id": own}]:
        await harness.database.write(lambda tx: workers.beat(tx, own, 5.0))


async def test_one_that_has_said_farewell_is_not_announced_again(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat that finds its row gone, late in a stop, is no reason to come back."""
    engine, membership = harness.engine, harness.server.bus.membership
    write, beating = harness.database.write, list[bool]()

    async def then_beat(work: Any) -> Any:
        result = await write(work)
        if isinstance(result, Released):
            beating.append(membership._heartbeat is not None and membership._heartbeat._thread.is_alive())
            membership._on_heartbeat_lost()
            assert membership._rejoining is None
        return result

    monkeypatch.setattr(harness.database, "write", then_beat)
    await engine.stop()
    assert beating == [False]
    assert await harness.records.select("SELECT id FROM workers") == []


async def heartbeat_of(harness: EngineHarness) -> int:
    """The counter of the process."""
    own = "SELECT heartbeat FROM workers WHERE id = :id"
    (row,) = await harness.records.select(own, id=harness.engine.worker_id)
    return int(row["heartbeat"])


@contextlib.asynccontextmanager
async def frozen_heartbeat(harness: EngineHarness) -> AsyncIterator[None]:
    """Inside this context, the server's process for the heartbeat's connection is suspended between two statements."""
    connections = """SELECT pid, state FROM pg_stat_activity WHERE datname = current_database()
                     AND query LIKE 'UPDATE workers SET heartbeat%'"""
    while True:
        (connection,) = await harness.records.select(connections) or [{"pid": 0, "state": ""}]
        if pid := connection["pid"]:
            os.kill(pid, signal.SIGSTOP)
            while not is_suspended(pid):
                await harness.written()
            if [{"pid": pid, "state": "idle"}] == await harness.records.select(connections):
                break  # in the middle of a statement it would hold the lock on the row
            os.kill(pid, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_heartbeat_that_is_not_answered_is_followed_by_one_on_another_connection(postgres_url: str) -> None:
    settings: dict[str, Any] = {"upkeep_seconds": 3600, "beat_seconds": 0.02, "dead_seconds": 0.5}
    async with running(harness_on(postgres_url, agents=[Agent(id="solo", model="scripted")], **settings)) as harness:
        # While it is alone and idle, it stores no heartbeats.
        await harness.database.write(lambda tx: workers.add(tx, "other", [], HERE))
        async with asyncio.timeout(PATIENCE_SECONDS), frozen_heartbeat(harness):
            before = await heartbeat_of(harness)
            while await heartbeat_of(harness) < before + 3:
                await harness.written()


@pytest.mark.parametrize(
    ("query", "dead_seconds", "expected"),
    [("", 4.0, 2), ("", 8.0, 4), ("", 60.0, 5), ("?connect_timeout=3", 60.0, 3), ("?connect_timeout=0", 8.0, 4)],
)
async def test_an_attempt_to_connect_leaves_a_heartbeat_time_for_another_one(
    query: str, dead_seconds: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, is_tried_again = list[float](), threading.Event()

    def hang(gen: Any, interval: float, timeout: float) -> Any:
        gen.close()
        limits.append(timeout)
        if len(limits) > 1:
            is_tried_again.set()
        raise psycopg.errors.ConnectionTimeout("connection timeout expired")

    async def do_nothing() -> None:
        pass

    monkeypatch.setattr(psycopg.waiting, "wait_conn", hang)
    settings = Settings(beat_seconds=0.001, dead_seconds=dead_seconds)
    membership = Membership(PostgresDatabase(f"postgresql://127.0.0.1:1/db{query}"), settings, lambda: None)
    await membership.join(do_nothing, do_nothing)
    await asyncio.to_thread(is_tried_again.wait)
    await membership.leave(do_nothing)
    assert set(limits) == {expected}
    assert settings.beat_seconds + expected < dead_seconds
