"""Order and slots: runs of a session one after the other, others together, and no slot taken twice or lost."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, StoreUnavailable
from musterd.core.events import EventKind
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.engine.worker import Worker
from musterd.service.runs import RunRequest
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness


async def _nothing() -> None:
    pass


async def finishing_order(harness: EngineHarness) -> list[str]:
    rows = await harness.records.select("SELECT run_id FROM runs ORDER BY ended_at, seq")
    return [row["run_id"] for row in rows]


@pytest.mark.parametrize("concurrency", [1, 32])
async def test_fifty_overlapping_runs_of_one_session_complete_in_order(engines: Engines, concurrency: int) -> None:
    async with engines(concurrency=concurrency) as harness:
        names = [f"r{number:02}" for number in range(50)]
        accepted = await asyncio.gather(*(harness.start("[[WORDS 2]]", name) for name in names))
        order = [
            acceptance.run.run_id for acceptance in sorted(accepted, key=lambda acceptance: acceptance.run.seq or 0)
        ]
        assert sorted(acceptance.run.seq or 0 for acceptance in accepted) == list(range(50))
        views = await asyncio.gather(*(harness.end_of(name) for name in names))
        assert {view.row.state for view in views} == {RunState.COMPLETED}
        assert await finishing_order(harness) == order
        rows = await harness.records.select("SELECT started_at, ended_at, attempt FROM runs ORDER BY seq")
        assert all(later["started_at"] >= earlier["ended_at"] for earlier, later in pairwise(rows))
        assert {row["attempt"] for row in rows} == {1}
        await harness.idle()


async def test_one_file_accepts_in_the_order_of_asking(file_engines: Engines) -> None:
    async with file_engines() as harness:
        accepted = await asyncio.gather(*(harness.start("hi", f"r{number:02}") for number in range(50)))
        assert [acceptance.run.seq for acceptance in accepted] == list(range(50))
        await asyncio.gather(*(harness.end_of(acceptance.run.run_id) for acceptance in accepted))


async def test_a_hundred_runs_that_wait_for_a_model_are_under_way_at_once(engines: Engines) -> None:
    """With the settings as they are: neither slots nor limits on model calls bind."""
    async with engines() as harness:
        hold = harness.model.hold("wait")
        await asyncio.gather(*(harness.start("wait", f"r{number}", f"s{number}") for number in range(100)))
        while len(harness.model.calls) < 100:
            await harness.records.states()
        hold.release()
        views = await asyncio.gather(*(harness.end_of(f"r{number}") for number in range(100)))
        assert {view.row.state for view in views} == {RunState.COMPLETED}


async def test_a_process_claims_a_few_runs_at_a_time(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that others on the same database get their share; and it goes on until nothing is ready."""
    monkeypatch.setattr("musterd.engine.worker.CLAIMED_AT_ONCE", 2)
    claimed: list[int] = []
    claim = Worker._claim_ready

    async def noted(engine: Worker, limit: int, run_ids: Sequence[str] | None) -> list[RunRow]:
        runs = await claim(engine, limit, run_ids)
        claimed.append(len(runs))
        return runs

    async with engines(concurrency=1) as first:
        hold = first.model.hold("wait")
        await first.start("wait", "r", "s")
        await hold.reached.wait()
        for number in range(5):
            await first.start("hello", f"r{number}", f"s{number}")
        monkeypatch.setattr(Worker, "_claim_ready", noted)
        async with engines() as second:
            await asyncio.gather(*(second.end_of(f"r{number}") for number in range(5)))
        hold.release()
        await first.end_of("r")
    assert max(claimed) == 2
    assert sum(claimed) == 5


async def test_sessions_run_together_up_to_the_limit(engines: Engines) -> None:
    async with engines(concurrency=5) as harness:
        hold = harness.model.hold("hello")
        peaks: list[int] = []
        calls = harness.model.calls
        for number in range(50):
            await harness.start("hello", f"r{number}", f"s{number}")
        await hold.reached.wait()
        while len(calls) < 5:
            await hold.reached.wait()
            await harness.records.states()
        assert Counter((await harness.records.states()).values()) == {"running": 5, "ready": 45}
        peaks.append(len(calls))
        hold.release()
        views = await asyncio.gather(*(harness.end_of(f"r{number}") for number in range(50)))
        assert {view.row.state for view in views} == {RunState.COMPLETED}
        assert peaks == [5]
        await harness.idle()


async def test_slots_are_never_exceeded(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    begin = Worker._begin

    def watched(self: Worker, *args: object) -> None:
        begin(self, *args)  # type: ignore[arg-type]
        seen.append(len(self._live))

    monkeypatch.setattr(Worker, "_begin", watched)
    async with engines(concurrency=3) as harness:
        started = await asyncio.gather(*(harness.start("hi", f"r{n}", f"s{n % 17}") for n in range(80)))
        await asyncio.gather(*(harness.end_of(acceptance.run.run_id) for acceptance in started))
        assert max(seen) <= 3
        assert len(seen) == 80
        await harness.idle()


async def test_a_request_that_is_given_up_keeps_no_slot_and_its_run_ends(harness: EngineHarness) -> None:
    requests = [asyncio.ensure_future(harness.start("hi", f"r{number}", f"s{number}")) for number in range(20)]
    await asyncio.wait(requests, timeout=0)
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    stored = await harness.records.states()
    for name in stored:
        assert (await harness.end_of(name)).row.state is RunState.COMPLETED
    await harness.idle()


async def test_replays_and_refusals_keep_no_slot(harness: EngineHarness) -> None:
    first = await harness.run("hi", "r1")
    for _ in range(3):
        again = await harness.start("hi", "r1")
        assert (again.is_repeated, again.run.run_id) == (True, first.row.run_id)
        with pytest.raises(Conflict):
            await harness.start("another message", "r1")
        with pytest.raises(ValueError, match="JSON"):
            await harness.start("hi", "r2", options={"metadata": {"a": float("nan")}})
    await harness.idle()
    assert len(harness.model.calls) == 1


async def test_the_same_request_twice_at_once_is_one_run(harness: EngineHarness) -> None:
    both = await asyncio.gather(*(harness.start("hi", "r1") for _ in range(10)))
    assert sorted(acceptance.is_repeated for acceptance in both) == [False] + [True] * 9
    await harness.end_of("r1")
    assert len(harness.model.calls) == 1
    await harness.idle()


async def test_a_store_that_is_not_there_keeps_no_slot(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    write = harness.database.write

    async def refuse(work: object) -> None:
        raise StoreUnavailable

    await harness.run("warm", "r0")
    monkeypatch.setattr(harness.database, "write", refuse)
    for number in range(40):
        with pytest.raises(StoreUnavailable):
            await harness.start("hi", f"r{number}", f"s{number}")
    monkeypatch.setattr(harness.database, "write", write)
    await harness.idle()
    assert (await harness.run("hi", "r1")).row.state is RunState.COMPLETED


async def test_a_run_accepted_while_the_claimer_claims_is_claimed_too(engines: Engines) -> None:
    async with engines(concurrency=2) as harness:
        await harness.run("warm", "r0")
        async with harness.writes_held():
            harness.engine.wake()
            while not harness.engine._slots.reserved:  # its claim is handed in, and keeps every slot
                await asyncio.wait([asyncio.ensure_future(_nothing())])
            starts = [asyncio.ensure_future(harness.start("hi", f"r{n}", f"s{n}")) for n in (1, 2, 3)]
            await asyncio.wait(starts, timeout=0)
        await asyncio.gather(*starts)
        for number in (1, 2, 3):
            assert (await harness.end_of(f"r{number}")).row.state is RunState.COMPLETED
        await harness.idle()


async def test_the_next_run_begins_whatever_the_last_one_came_to(harness: EngineHarness) -> None:
    messages = ["[[ERROR 400]]", "[[TOOL nothing {}]]", "[[SAY ok]]", "held", "[[SAY last]]"]
    hold = harness.model.hold("held")
    for number, message in enumerate(messages):
        await harness.start(message, f"r{number}")
    await hold.reached.wait()
    await harness.cancel("r3")
    states = [(await harness.end_of(f"r{number}")).row.state.value for number in range(len(messages))]
    assert states == ["error", "completed", "completed", "cancelled", "completed"]


async def test_a_deleted_session_takes_its_runs_with_it(harness: EngineHarness) -> None:
    hold = harness.model.hold("held")
    await harness.start("held", "r1")
    await harness.start("later", "r2")
    await harness.start("elsewhere", "r3", "s2")
    await hold.reached.wait()
    await harness.sessions.delete("s1", Caller())
    await harness.end_of("r3")
    await hold.stopped.wait()
    await harness.idle()
    assert await harness.records.states() == {"r3": "completed"}
    again = await harness.run("[[SAY new]]", "r1")
    assert (again.row.seq, again.output and again.output.content) == (0, "new")


async def test_a_run_may_name_its_session_or_not(harness: EngineHarness) -> None:
    accepted = await harness.start("hi", "r1", None)
    view = await harness.end_of("r1")
    assert view.row.session_id == accepted.run.session_id
    request = RunRequest(input=Input(message="hi"), run_id="r2", cancel_on_disconnect=True)
    await harness.runs.start(harness.component(), request, Caller())
    await harness.end_of("r2")
    kinds = [event.kind for _, event in await harness.stored("r1")]
    assert (kinds[0], kinds[-1]) == (EventKind.RUN_STARTED, EventKind.RUN_COMPLETED)
