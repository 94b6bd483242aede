"""A server that keeps runs for a while: what is older is gone for everybody, what lives is not touched."""

import asyncio
import threading
from collections.abc import Iterable

import pytest

from musterd.core.errors import NotFound
from musterd.core.turns import Turn
from musterd.store import joining
from musterd.store.joining import Joined
from tests.engine.conftest import Engines
from tests.support.engine import Works

AT_ONCE = 1e-9


async def cleared(works: Works) -> None:
    """Have upkeep look again now."""
    works.engine.upkeep.retention._not_before = 0.0
    await works.engine.upkeep.retention.once()


async def test_runs_and_sessions_that_are_old_are_gone(engines: Engines) -> None:
    async with engines(retention_days=AT_ONCE) as works:
        hold = works.model.hold("wait")
        await works.start("wait", "live", "s2")
        await hold.reached.wait()
        await works.run("hello", "r1", "s1")
        await cleared(works)
        await cleared(works)
        with pytest.raises(NotFound):
            await works.end_of("r1")
        assert await works.records.states() == {"live": "running"}
        assert [row["session_id"] for row in await works.records.select("SELECT session_id FROM sessions")] == ["s2"]
        hold.release()
        assert (await works.end_of("live")).row.state.is_final


async def test_for_ever_is_the_default(file_engines: Engines) -> None:
    async with file_engines() as works:
        await works.run("hello", "r1")
        await cleared(works)
        assert await works.records.states() == {"r1": "completed"}


async def test_pieces_are_joined_and_the_run_stays(engines: Engines) -> None:
    async with engines(delta_days=AT_ONCE, delta_seconds=0, first_delta_seconds=0) as works:
        await works.run("[[WORDS 30]]", "r1")
        before = "".join(event.data.get("text", "") for _, event in await works.stored("r1"))
        await cleared(works)
        joined = [event.data["text"] for _, event in await works.stored("r1") if event.is_piece]
        assert joined == [before]


async def test_pieces_are_joined_beside_the_event_loop_and_outside_of_transactions(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    join = joining.joined

    def noted(found: Iterable[tuple[int, str]]) -> Joined:
        threads.append(threading.current_thread().name)
        return join(found)

    monkeypatch.setattr(joining, "joined", noted)
    async with engines(delta_days=AT_ONCE, delta_seconds=0, first_delta_seconds=0) as works:
        await works.run("[[WORDS 30]]", "r1")
        await cleared(works)
    assert threads
    assert not {"MainThread", "musterd-writer"} & set(threads)


async def test_a_turn_is_short_and_the_rest_waits_for_the_next(
    file_engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took to find what is old, some of it goes."""
    monkeypatch.setattr("musterd.engine.retention.BUSY_SECONDS", 0.0)
    async with file_engines(retention_days=AT_ONCE, upkeep_seconds=3600) as works:
        await asyncio.gather(*(works.run("hello", f"r{number}", f"s{number}") for number in range(3)))
        for left in (2, 1):
            await works.engine.upkeep.retention.once()
            assert len(await works.records.states()) == left
        monkeypatch.setattr("musterd.engine.retention.BUSY_SECONDS", 5.0)
        await cleared(works)
        assert await works.records.states() == {}


async def test_a_turn_that_hangs_holds_nothing_else_up(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = asyncio.Event()

    async def hang(*given: object, **named: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("musterd.engine.retention.Retention.once", hang)
    async with engines(retention_days=AT_ONCE, upkeep_seconds=0.02) as works:
        await hangs.wait()
        await works.start("hello", "r1", turn=Turn(delay_seconds=0.01))
        assert (await works.end_of("r1")).row.state.is_final
