"""A server that keeps runs for a while: what is older is gone for everybody, what lives is not touched."""

import asyncio
import threading
from collections.abc import Awaitable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.errors import NotFound
from musterd.core.queueing import QueueingOptions
from musterd.features.usage import store as usage
from musterd.store import event_compaction, retention
from musterd.store.database import Tx, Work
from musterd.store.event_compaction import Joined
from musterd.store.run_removal import InRemoval, Removable
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness

AT_ONCE = 1e-9


async def cleared(harness: EngineHarness) -> None:
    """Have upkeep look again now."""
    harness.engine.upkeep.retention._not_before = 0.0
    await harness.engine.upkeep.retention.once()


async def test_runs_and_sessions_that_are_old_are_gone(engines: Engines) -> None:
    async with engines(retention_days=AT_ONCE) as harness:
        hold = harness.model.hold("wait")
        await harness.start("wait", "live", "s2")
        await hold.reached.wait()
        await harness.run("hello", "r1", "s1")
        await cleared(harness)
        await cleared(harness)
        with pytest.raises(NotFound):
            await harness.end_of("r1")
        assert await harness.records.states() == {"live": "running"}
        assert [row["session_id"] for row in await harness.records.select("SELECT session_id FROM sessions")] == ["s2"]
        hold.release()
        assert (await harness.end_of("live")).row.state.is_final


async def test_for_ever_is_the_default(file_engines: Engines) -> None:
    async with file_engines() as harness:
        await harness.run("hello", "r1")
        await cleared(harness)
        assert await harness.records.states() == {"r1": "completed"}


async def test_pieces_are_joined_and_the_run_stays(engines: Engines) -> None:
    async with engines(delta_days=AT_ONCE, delta_seconds=0, first_delta_seconds=0) as harness:
        await harness.run("[[WORDS 30]]", "r1")
        before = "".join(event.data.get("text", "") for _, event in await harness.stored("r1"))
        await cleared(harness)
        joined = [event.data["text"] for _, event in await harness.stored("r1") if event.is_delta]
        assert joined == [before]


async def test_pieces_are_joined_beside_the_event_loop_and_outside_of_transactions(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    join = event_compaction.joined

    def noted(pieces: Iterable[tuple[int, str]]) -> Joined:
        threads.append(threading.current_thread().name)
        return join(pieces)

    monkeypatch.setattr(event_compaction, "joined", noted)
    async with engines(delta_days=AT_ONCE, delta_seconds=0, first_delta_seconds=0) as harness:
        await harness.run("[[WORDS 30]]", "r1")
        await cleared(harness)
    assert threads
    assert not {"MainThread", "musterd-writer"} & set(threads)


async def test_one_turn_removes_everything_that_is_old(file_engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.engine.retention.LOOKED_AT", 2)
    async with file_engines(retention_days=AT_ONCE, upkeep_seconds=3600) as harness:
        await asyncio.gather(*(harness.run("hello", f"r{number}", f"s{number}") for number in range(5)))
        await cleared(harness)
        assert await harness.records.states() == {}
        assert await harness.records.select("SELECT session_id FROM sessions") == []


async def test_others_write_between_two_slices(file_engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited while a slice was removed is committed before the next one begins."""
    monkeypatch.setattr("musterd.store.run_removal.AT_ONCE", 1)
    order: list[str] = []
    remove = retention.remove_runs

    async def noted(tx: Tx, runs: Sequence[Removable], now: float, hooks: Sequence[InRemoval]) -> int:
        order.append("slice")
        return await remove(tx, runs, now, hooks)

    monkeypatch.setattr(retention, "remove_runs", noted)
    async with file_engines(retention_days=AT_ONCE, upkeep_seconds=3600) as harness:
        await asyncio.gather(*(harness.run("hello", f"r{number}", f"s{number}") for number in range(3)))

        async def other(_: Tx) -> None:
            order.append("other")

        write = harness.database.write

        def write_and_let_another(work: Work[Any]) -> Awaitable[Any]:
            """Somebody else writes too, as soon as the slice has been handed in."""
            done = write(work)
            others.append(asyncio.ensure_future(write(other)))
            return done

        others: list[asyncio.Future[None]] = []
        slices = harness.engine.upkeep.retention._slices
        monkeypatch.setattr(slices, "_database", SimpleNamespace(write=write_and_let_another))
        await cleared(harness)
        await asyncio.gather(*others)
    assert order[:6] == ["slice", "other"] * 3


async def test_days_that_are_over_are_kept_before_their_runs_go(engines: Engines) -> None:
    """So removing a run need not count it, and what a day shows does not change."""
    async with engines(retention_days=20, upkeep_seconds=3600) as harness:
        for number in range(3):
            await harness.run("hello", f"r{number}", f"s{number}")
        day = usage.day_of(clock.now() - 30 * 86_400.0)
        await harness.records.execute(
            """UPDATE runs SET created_at = created_at - 30 * 86400.0, started_at = started_at - 30 * 86400.0,
                               ended_at = ended_at - 30 * 86400.0"""
        )
        before = await harness.database.scan(lambda tx: usage.count(tx, day))
        await cleared(harness)
        assert await harness.records.states() == {}
        (closed,) = await harness.database.scan(lambda tx: usage.closed_days(tx, None, day, day))
        assert closed.figures.runs == before[usage.EVERYBODY].runs == {"agent": 3}
        assert await harness.records.select("SELECT day FROM daily_metrics WHERE is_over = 0") == []


async def test_a_turn_that_hangs_holds_nothing_else_up(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = asyncio.Event()

    async def hang(*args: object, **named: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("musterd.engine.retention.Retention.once", hang)
    async with engines(retention_days=AT_ONCE, upkeep_seconds=0.02) as harness:
        await hangs.wait()
        await harness.start("hello", "r1", queueing=QueueingOptions(delay_seconds=0.01))
        assert (await harness.end_of("r1")).row.state.is_final
