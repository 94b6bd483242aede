"""The feed of all runs: what each reader gets of what changes, here or in another process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd import Agent, tool
from musterd.core import clock
from musterd.core.approvals import Resolution
from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.core.records import Input
from musterd.core.run_changes import Change
from musterd.core.states import RunState
from musterd.service import run_feed
from musterd.service.run_feed import FeedReader
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, PATIENCE_SECONDS, EngineHarness
from tests.support.held_model import HeldModel

ADA, EVE, ROOT = (Caller(user_id=name, label=name, is_admin=name == "root") for name in ("ada", "eve", "root"))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "LOOK_SECONDS", 0.02)


@contextlib.asynccontextmanager
async def reading(
    harness: EngineHarness, caller: Caller = NOBODY, since: float | None = None
) -> AsyncIterator[FeedReader]:
    reader = await harness.server.feed.read(caller, since)
    try:
        yield reader
    finally:
        reader.close()


async def changes_until(reader: FeedReader, is_last: Any) -> list[Change]:
    """The changes until one of which ``is_last`` is true."""
    changes: list[Change] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(is_last(change) for change in changes):
            await reader.wait(1)
            changes += reader.take()
    return changes


def is_in(state: RunState, run_id: str = "r1") -> Any:
    return lambda change: change.run is not None and (change.run.run_id, change.run.state) == (run_id, state)


def is_decided(change: Change) -> bool:
    return change.approval is not None and change.approval.status != "pending"


def shop(model: HeldModel) -> Agent:
    @tool(requires_confirmation=True)
    def pay(n: int) -> str:
        """Pay."""
        return f"paid {n}"

    return Agent(id="solo", model=model, tools=[pay])


async def begin(harness: EngineHarness, caller: Caller, run_id: str, message: str = "hello") -> None:
    request = RunRequest(input=Input(message=message), run_id=run_id, has_chosen_id=True, session_id=f"s-{run_id}")
    await harness.runs.start(harness.component(), request, caller)


async def test_a_run_is_seen_from_its_acceptance_to_its_end(harness: EngineHarness, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with reading(harness) as reader:
        await harness.start("wait", "r1")
        changes = await changes_until(reader, is_in(RunState.RUNNING))
        hold.release()
        await harness.end_of("r1")
        changes += await changes_until(reader, is_in(RunState.COMPLETED))
        last = changes[-1].run
        assert last is not None
        assert (last.input, last.answer) == ("wait", "Echo: wait")
        assert {change.run.run_id for change in changes if change.run is not None} == {"r1"}


async def test_a_run_that_begins_and_ends_between_two_looks_is_seen(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(harness) as reader:
        async with harness.server.feed._looking:  # no look meanwhile
            await harness.run("hello", "r1")
        (change,) = await changes_until(reader, is_in(RunState.COMPLETED))
        assert change.run is not None


async def test_what_a_run_does_now_is_seen(harness: EngineHarness, model: HeldModel) -> None:
    hold = model.hold("wait", after=1)
    async with reading(harness) as reader:
        await harness.start("wait", "r1")
        changes = await changes_until(reader, lambda change: change.run is not None and change.run.activity is not None)
        run = changes[-1].run
        assert run is not None
        assert run.activity is not None
        assert run.activity["kind"] in ("model", "writing")
        hold.release()
        (*_, last) = await changes_until(reader, is_in(RunState.COMPLETED))
        assert last.run is not None
        assert (last.run.activity, last.run.totals and last.run.totals["model_calls"]) == (None, 1)


async def test_runs_of_another_process_are_seen_too(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with engines() as first, engines() as second, reading(second) as reader:
        await first.start("wait", "r1")
        await changes_until(reader, is_in(RunState.RUNNING))
        hold.release()
        await first.end_of("r1")
        await changes_until(reader, is_in(RunState.COMPLETED))


async def test_what_did_not_change_is_sent_once(harness: EngineHarness, model: HeldModel) -> None:
    async with reading(harness) as reader:
        await harness.run("hello", "r1")
        await changes_until(reader, is_in(RunState.COMPLETED))
        await harness.run("hello", "r2", session="s2")
        changes = await changes_until(reader, is_in(RunState.COMPLETED, "r2"))
        assert {change.run.run_id for change in changes if change.run is not None} == {"r2"}


async def test_a_run_is_seen_by_its_owner_and_by_administrators(harness: EngineHarness) -> None:
    async with reading(harness, ADA) as own, reading(harness, EVE) as other, reading(harness, ROOT) as admin:
        await begin(harness, ADA, "r1")
        await begin(harness, EVE, "r2")
        await changes_until(admin, is_in(RunState.COMPLETED, "r2"))
        await changes_until(own, is_in(RunState.COMPLETED, "r1"))
        changes = await changes_until(other, is_in(RunState.COMPLETED, "r2"))
        assert {change.owner for change in changes} == {"eve"}


async def test_approvals_appear_count_and_are_decided(engines: Engines, model: HeldModel) -> None:
    async with (
        engines(agents=[shop(model)]) as harness,
        reading(harness, ADA) as reader,
        reading(harness, EVE) as other,
    ):
        await begin(harness, ADA, "r1", '[[TOOL pay {"n": 1}]]')
        changes = await changes_until(reader, is_in(RunState.PAUSED))
        (approval,) = [change.approval for change in changes if change.approval is not None]
        assert (approval.root_id, approval.status, approval.owner) == ("r1", "pending", "ada")
        assert (reader.pending_approvals, other.pending_approvals) == (1, 0)
        await harness.server.approvals.resolve(approval.id, Resolution(is_approved=True), ADA)
        changes = await changes_until(reader, is_decided)
        if not any(map(is_in(RunState.COMPLETED), changes)):
            await changes_until(reader, is_in(RunState.COMPLETED))
        assert [change.approval.status for change in changes if change.approval is not None] == ["approved"]
        assert reader.pending_approvals == 0
        assert other.take() == []


async def test_the_approvals_of_a_cancelled_run_are_cancelled(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[shop(model)]) as harness:
        await begin(harness, NOBODY, "r1", '[[TOOL pay {"n": 1}]]')
        await harness.end_of("r1")
        async with reading(harness) as reader:
            assert reader.pending_approvals == 1, "also those that were there before"
            await harness.runs.cancel(RunRef(harness.component(), "r1", None, NOBODY))
            changes = await changes_until(reader, is_decided)
            assert [change.approval.status for change in changes if change.approval is not None] == ["cancelled"]


async def test_a_reader_that_comes_back_to_another_process_has_missed_nothing(
    engines: Engines, model: HeldModel
) -> None:
    agents = [shop(model)]
    async with engines(agents=agents) as first:
        await first.run("long ago", "r0", session="s0")
        await first.records.execute("UPDATE runs SET ended_at = 5.0, created_at = 5.0 WHERE run_id = 'r0'")
        async with reading(first) as reader:
            await first.run("hello", "r1", session="s1")
            position = (await changes_until(reader, is_in(RunState.COMPLETED)))[-1].position
        await first.run("meanwhile", "r2", session="s2")
        await first.run('[[TOOL pay {"n": 1}]]', "r3", session="s3")
    async with engines(agents=agents) as second:
        async with reading(second, since=position) as reader:
            changes = reader.take()
            assert reader.has_all
        states = {change.run.run_id: change.run.state for change in changes if change.run is not None}
        assert {"r2": RunState.COMPLETED, "r3": RunState.PAUSED}.items() <= states.items()
        assert "r0" not in states
        assert [change.approval.root_id for change in changes if change.approval is not None] == ["r3"]
        async with reading(second, EVE, since=position) as reader:
            assert reader.take() == []


async def test_a_reader_that_missed_too_much_is_told(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "MAX_MISSED", 2)
    before = clock.now()
    for number in range(3):
        await harness.run("hello", f"r{number}", session=f"s{number}")
    async with reading(harness, since=before) as reader:
        changes = reader.take()
        assert not reader.has_all
    assert {change.run.run_id for change in changes if change.run is not None} == {"r1", "r2"}


async def test_a_slow_reader_gets_the_latest_state_of_each_run(harness: EngineHarness, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with reading(harness) as slow, reading(harness) as quick:
        await harness.start("wait", "r1")
        await changes_until(quick, is_in(RunState.RUNNING))
        hold.release()
        await changes_until(quick, is_in(RunState.COMPLETED))
        (change,) = slow.take()
        assert is_in(RunState.COMPLETED)(change)


async def test_a_reader_that_takes_nothing_is_closed(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "MAX_WAITING", 2)
    async with reading(harness) as reader, reading(harness) as quick:
        for number in range(3):
            await harness.run("hello", f"r{number}", session=f"s{number}")
            await changes_until(quick, is_in(RunState.COMPLETED, f"r{number}"))
        assert (reader.is_closed, reader.take()) == (True, [])
        assert harness.server.feed.reader_count == 1


async def test_without_readers_and_without_changes_no_look_is_made(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, looks, questions = harness.server.feed, 0, 0
    look, is_due = feed._look, feed._is_due

    async def counted_look() -> None:
        nonlocal looks
        looks += 1
        await look()

    async def counted_is_due() -> bool:
        nonlocal questions
        questions += 1
        return await is_due()

    async def unchanged() -> int:
        return 0

    monkeypatch.setattr(feed, "_look", counted_look)
    monkeypatch.setattr(feed, "_is_due", counted_is_due)
    monkeypatch.setattr(run_feed, "LONGEST_SECONDS", float("inf"))
    await harness.run("hello", "r1")
    assert looks == 0
    with monkeypatch.context() as quiet:
        quiet.setattr(harness.database, "change_count", unchanged)  # heartbeats change the database too
        async with reading(harness):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while questions < 3:
                    await clock.sleep(0.01)
            assert looks == 1
    await harness.run("hello", "r2", session="s2")
    assert (looks, feed._task) == (1, None)


async def test_an_outage_ends_no_reader(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading(harness) as reader:
        with monkeypatch.context() as patch:

            async def gone(_work: Any) -> Any:
                raise StoreUnavailable

            patch.setattr(harness.database, "scan", gone)
            await harness.run("hello", "r1")
            await clock.sleep(0.1)
            assert not reader.is_closed
        await changes_until(reader, is_in(RunState.COMPLETED))


async def test_a_reader_is_refused_while_the_database_is_away(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_work: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(harness.database, "scan", gone)
        with pytest.raises(StoreUnavailable):
            await harness.server.feed.read(NOBODY, None)
    assert harness.server.feed.reader_count == 0
    async with reading(harness) as reader:
        await harness.run("hello", "r1")
        await changes_until(reader, is_in(RunState.COMPLETED))
