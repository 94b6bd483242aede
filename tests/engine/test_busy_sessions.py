"""Busy sessions in an engine: interrupts keep what was said, parallel runs overlap, and any mix keeps its order."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musterd import Agent
from musterd.core.errors import Conflict
from musterd.core.events import EventKind
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel

INTERRUPT, PARALLEL, REJECT = (
    QueueingOptions(on_busy=word) for word in (OnBusy.INTERRUPT, OnBusy.PARALLEL, OnBusy.REJECT)
)


async def test_an_interrupt_stops_the_live_one_keeps_its_text_and_runs_next(harness: EngineHarness) -> None:
    hold = harness.model.hold("held", after=1)
    await harness.start("held words", "r1")
    await hold.reached.wait()
    await harness.start("queued", "r2")
    done = await harness.run("now", "r3", queueing=INTERRUPT)
    await hold.stopped.wait()
    over = await harness.end_of("r1")
    assert (over.row.state, over.row.cancel_by) == (RunState.CANCELLED, "interrupt")
    assert over.output is not None
    assert over.output.content == "Echo: "
    assert [event.kind for _, event in await harness.stored("r1")][-1] is EventKind.RUN_CANCELLED
    last = await harness.end_of("r2")
    assert [view.row.state for view in (done, last)] == [RunState.COMPLETED] * 2
    assert (over.row.ended_at or 0) <= (done.row.started_at or 0) <= (done.row.ended_at or 0)
    assert (done.row.ended_at or 0) <= (last.row.started_at or 0)
    assert {view.row.attempt for view in (over, done, last)} == {1}
    await harness.idle()


async def test_an_interrupt_of_a_run_that_waits_for_a_worker(engines: Engines) -> None:
    async with engines(concurrency=1) as harness:
        hold = harness.model.hold("held")
        await harness.start("held", "r0", "elsewhere")
        await hold.reached.wait()
        await harness.start("never", "r1")
        await harness.start("now", "r2", queueing=INTERRUPT)
        assert await harness.records.states() == {"r0": "running", "r1": "cancelled", "r2": "ready"}
        assert (await harness.end_of("r1")).row.state is RunState.CANCELLED
        hold.release()
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED
        assert len(harness.model.calls) == 2
        await harness.idle()


async def test_interrupters_of_interrupters(harness: EngineHarness) -> None:
    holds = [harness.model.hold(word, after=1) for word in ("one", "two")]
    await harness.start("one", "r1")
    await holds[0].reached.wait()
    await harness.start("two", "r2", queueing=INTERRUPT)
    await holds[1].reached.wait()
    assert (await harness.run("three", "r3", queueing=INTERRUPT)).row.state is RunState.COMPLETED
    assert [(await harness.end_of(name)).row.state.value for name in ("r1", "r2")] == ["cancelled"] * 2
    await harness.idle()


async def test_parallel_runs_overlap_and_leave_the_line_alone(harness: EngineHarness) -> None:
    hold = harness.model.hold("held")
    names = ["r1", "p1", "p2"]
    for name in names:
        await harness.start("held", name, queueing=QueueingOptions() if name == "r1" else PARALLEL)
    await harness.start("queued", "r2")
    while len(harness.model.calls) < 3:
        await harness.records.states()
    assert await harness.records.states() == {"r1": "running", "p1": "running", "p2": "running", "r2": "queued"}
    await harness.cancel("p1")
    assert (await harness.records.states())["r2"] == "queued", "it waits for the holder, not for what runs beside it"
    hold.release()
    ends = {name: (await harness.end_of(name)).row.state.value for name in ("r1", "p1", "p2", "r2")}
    assert ends == {"r1": "completed", "p1": "cancelled", "p2": "completed", "r2": "completed"}
    await harness.idle()


async def test_a_refused_run_keeps_no_slot(harness: EngineHarness) -> None:
    hold = harness.model.hold("held")
    await harness.start("held", "r1")
    await hold.reached.wait()
    for number in range(40):
        with pytest.raises(Conflict, match="r1"):
            await harness.start("no", f"no{number}", queueing=REJECT)
    hold.release()
    await harness.end_of("r1")
    await harness.idle()


async def test_a_delayed_run_keeps_no_slot(harness: EngineHarness) -> None:
    for number in range(40):
        await harness.start("later", f"r{number}", queueing=QueueingOptions(delay_seconds=3600))
    assert (await harness.run("now")).row.state is RunState.COMPLETED
    await harness.idle()


async def test_a_deadline_that_has_passed_ends_the_attempt_at_once(harness: EngineHarness) -> None:
    harness.model.hold("held")
    view = await harness.run("held", "r1", queueing=QueueingOptions(timeout_seconds=0.05))
    assert view.row.state is RunState.ERROR
    assert view.output is not None
    assert view.output.error is not None
    assert (view.row.error_code, view.output.error["retryable"]) == ("deadline", False)
    await harness.idle()


async def test_the_shorter_of_both_limits_counts(engines: Engines) -> None:
    async with engines(run_seconds=0.05) as harness:
        harness.model.hold("held")
        view = await harness.run("held", queueing=QueueingOptions(timeout_seconds=60))
        assert view.row.error_code == "time_limit"


# Any mix

ANY_MIX = st.lists(
    st.tuples(st.sampled_from(list(OnBusy)), st.sampled_from(["s1", "s2"]), st.integers(-1, 1)), min_size=1, max_size=14
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=ANY_MIX, concurrency=st.sampled_from([1, 2, 8]))
def test_any_mix_keeps_its_order(new_database: Callable[[], str], requests: list[Any], concurrency: int) -> None:
    asyncio.run(_keeps_its_order(new_database(), requests, concurrency))


async def _keeps_its_order(url: str, requests: list[Any], concurrency: int) -> None:
    model = HeldModel()
    async with running(
        harness_on(url, [Agent(id="solo", model=model)], model=model, concurrency=concurrency)
    ) as harness:
        accepted = []
        for number, (on_busy, session, priority) in enumerate(requests):
            with contextlib.suppress(Conflict):
                queueing = QueueingOptions(on_busy=on_busy, priority=priority)
                await harness.start("[[WORDS 3]]", f"r{number:02}", session, queueing=queueing)
                accepted.append(f"r{number:02}")
        rows = [(await harness.end_of(name)).row for name in accepted]
        await harness.idle()
        assert all(row.holder is None for row in rows)
        for row in rows:
            expected = {RunState.COMPLETED} if row.cancel_by is None else {RunState.CANCELLED}
            assert row.state in expected
            assert row.cancel_by in (None, "interrupt")
        for session in ("s1", "s2"):
            _one_after_the_other([row for row in rows if row.session_id == session])


def _one_after_the_other(rows: list[Any]) -> None:
    """Runs of a line do not overlap; those that wait in the same way begin in the order of their acceptance."""
    in_line = [row for row in rows if row.on_busy is not OnBusy.PARALLEL and row.started_at is not None]
    by_start = sorted(in_line, key=lambda row: (row.started_at, row.seq))
    for before, after in itertools.pairwise(by_start):
        assert before.ended_at <= after.started_at
    for is_interrupting in (True, False):
        same = [row.seq for row in by_start if (row.on_busy is OnBusy.INTERRUPT) is is_interrupting]
        assert same == sorted(same)
