"""Who may read along, and who keeps a run company."""

import asyncio

import pytest

from musterd import Agent
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.events import Event, EventKind
from musterd.core.records import Input
from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.engine.row_watch import RowWatch
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from musterd.service.session_subscription import SessionSubscription
from musterd.store import runs
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness, harness_on, read_all, running
from tests.support.held_model import HeldModel
from tests.support.store import of_run

ADA, BOB = Caller(user_id="ada", label="ada"), Caller(user_id="bob", label="bob")
ADMIN = Caller(user_id="root", label="root", is_admin=True)


async def start_as(harness: EngineHarness, caller: Caller, run_id: str, session: str, message: str = "hi") -> None:
    request = RunRequest(input=Input(message=message), run_id=run_id, session_id=session)
    await harness.runs.start(harness.component(), request, caller)


async def test_another_users_run_is_not_there(harness: EngineHarness) -> None:
    await start_as(harness, ADA, "r1", "s1")
    await harness.idle()
    component, following = harness.component(), harness.runs.following
    for caller in (ADA, ADMIN, NOBODY):
        view, reading = await following.open(RunRef(component, "r1", "s1", caller), -1)
        reading.close()
        assert view == await following.find(RunRef(component, "r1", "s1", caller), -1)
    for session in ("s1", None):
        with pytest.raises(NotFound):
            await following.open(RunRef(component, "r1", session, BOB), -1)
        with pytest.raises(NotFound):
            await following.find(RunRef(component, "r1", session, BOB), -1)
    assert not harness.broadcaster._audiences


async def test_another_users_session_is_not_there(harness: EngineHarness) -> None:
    await start_as(harness, ADA, "r1", "s1")
    await start_as(harness, BOB, "r2", "s2")
    await harness.idle()
    for cursor in (None, Cursor(), Cursor(-1, {"r1": -1})):
        reading = harness.sessions.subscribe("s1", BOB)
        with pytest.raises(NotFound):
            await reading.begin(cursor)
        reading.close()
    reading = harness.sessions.subscribe("s2", BOB)
    await reading.begin(Cursor(5, {"r1": -1, "r2": -1}))
    assert await runs_told(reading) == {"r2"}
    reading.close()
    assert (harness.broadcaster._watches, harness.broadcaster._audiences) == ({}, {})


async def runs_told(reading: SessionSubscription) -> set[str]:
    """The runs of which there is something to tell now."""
    return {event.run_id async for _, flush in reading.available() for event in flush.events}


async def test_a_page_that_many_ask_for_is_read_once(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come late, and all who are sent to the store because another process drives the run."""
    await harness.run("[[WORDS 30]]", "r1")
    stored = await harness.stored("r1")
    reads: list[object] = []
    fetch = harness.database.fetch

    def counting(work: object) -> object:
        reads.append(work)
        return fetch(work)  # type: ignore[arg-type]

    monkeypatch.setattr(harness.database, "fetch", counting)
    row = await harness.records.row("r1")
    readings = [harness.runs.subscribe("r1").start_after(row) for _ in range(50)]
    assert await asyncio.gather(*(read_all(reading) for reading in readings)) == [stored] * 50
    assert len(reads) == 1


async def test_a_reader_that_has_seen_the_end_of_a_run_takes_no_older_page_of_it(harness: EngineHarness) -> None:
    harness.records.worker = harness.engine.worker_id
    run = await harness.records.started("r1")
    await harness.records.append(run, events=[Event(EventKind.RUN_STARTED, "r1", 1.0, {})])
    early = harness.runs.subscribe("r1").start_after(await harness.records.row("r1"), 0)
    assert [flush async for flush in early.stored()] == []
    await harness.records.settle(
        run, events=[Event(EventKind.RUN_COMPLETED, "r1", 2.0, {})]
    )  # stored, and not announced in this process
    late = harness.runs.subscribe("r1").start_after(await harness.records.row("r1"), 0)
    kinds = [event.kind async for flush in late.stored() for event in flush.events]
    assert kinds == [EventKind.RUN_COMPLETED]
    for reading in (early, late):
        reading.close()


async def test_company_on_another_process_keeps_a_run_from_being_abandoned(
    engines: Engines, model: HeldModel, database_url: str
) -> None:
    """A reader, or a poll that waits: the process where the run's stream began cannot know of it otherwise."""
    hold = model.hold("wait", after=1)
    async with (
        engines(disconnect_seconds=0.01) as first,
        running(harness_on(database_url, [Agent(id="solo", model=model)], model=model)) as second,
    ):
        for run_id in ("read", "polled", "left"):
            await first.start("wait", run_id, run_id, cancel_on_disconnect=True)
            first.runs.connected_clients.enter(run_id)
            await first.wait_for_event(run_id, lambda event: event.kind is EventKind.CONTENT)
        _, reading = await second.runs.following.open(RunRef(second.component(), "read", "read", NOBODY), -1)
        await second.runs.settled_view(RunRef(second.component(), "polled", "polled", NOBODY), 0.001)
        for run_id in ("read", "polled", "left"):
            first.runs.connected_clients.leave(run_id)
        await first.wait_for_event(
            "left", lambda event: event.kind is EventKind.RUN_CANCELLED
        )  # to wait for its end is company
        hold.release()
        for run_id in ("read", "polled"):
            assert (await first.end_of(run_id)).row.state is RunState.COMPLETED
        assert (await read_all(reading))[-1] == (await second.stored("read"))[-1]


async def test_runs_of_another_process_are_found_and_read(
    engines: Engines, model: HeldModel, database_url: str
) -> None:
    async with (
        engines() as first,
        running(harness_on(database_url, [Agent(id="solo", model=model)], model=model)) as second,
    ):
        await first.run("hi", "r0", "s1")
        reading = second.sessions.subscribe("s1", NOBODY)
        await reading.begin(None)
        hold = model.hold("wait", after=1)
        await first.start("wait", "r1", "s1")
        await hold.reached.wait()
        texts: list[str] = []
        while "run_completed" not in texts:
            async for followed, flush in reading.available():
                assert followed.root.run_id == "r1"
                for index, event in enumerate(flush.events, flush.first_index):
                    followed.note(event, index)
                    texts.append(event.kind.value)
            hold.release()
            await reading.wait(30)
        assert texts == [event.kind.value for _, event in await first.stored("r1")]
        await first.sessions.delete("s1", NOBODY)
        while not reading.is_closed:
            assert await runs_told(reading) == set()
            await reading.wait(30)
        reading.close()


async def test_readers_are_sent_to_the_store_where_their_run_has_gone_on(
    engines: Engines, model: HeldModel, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not whenever anything was written there."""
    hold = model.hold("wait", after=1)
    async with (
        engines() as first,
        running(harness_on(database_url, [Agent(id="solo", model=model)], model=model)) as second,
    ):
        await first.start("wait", "r1", "s1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
        _, reading = await second.runs.following.open(RunRef(second.component(), "r1", "s1", NOBODY), -1)
        reader = asyncio.ensure_future(read_all(reading))
        await second.engine.read_changed_rows()
        sent: list[str] = []
        make_subscribers_read_store = second.broadcaster.make_subscribers_read_store

        def send_and_note(root_id: str) -> None:
            sent.append(root_id)
            make_subscribers_read_store(root_id)

        monkeypatch.setattr(second.broadcaster, "make_subscribers_read_store", send_and_note)
        for number in range(3):
            await first.run("hi", f"other{number}", f"other{number}")
            await second.engine.read_changed_rows()
        assert sent == []
        hold.release()
        await first.end_of("r1")
        assert await reader == await first.stored("r1")
        assert "r1" in sent


async def test_waiting_for_a_run_that_is_deleted_elsewhere_ends(
    engines: Engines, model: HeldModel, database_url: str
) -> None:
    model.hold("wait")
    async with (
        engines() as first,
        running(harness_on(database_url, [Agent(id="solo", model=model)], model=model)) as second,
    ):
        await first.start("wait", "r1", "s1")
        _, reading = await second.runs.following.open(RunRef(second.component(), "r1", "s1", NOBODY), -1)
        waiting = [asyncio.ensure_future(second.end_of("r1")) for _ in range(20)]
        reader = asyncio.ensure_future(read_all(reading))
        await asyncio.wait(waiting, timeout=0.01)
        await first.sessions.delete("s1", NOBODY)
        for done in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(done, NotFound) or done.row.state is RunState.CANCELLED  # type: ignore[union-attr]
        await reader


async def never(_watch: RowWatch) -> bool:
    return False


async def test_who_reads_a_run_that_was_deleted_reads_no_other_of_its_id(
    engines: Engines, model: HeldModel, database_url: str
) -> None:
    """Another user chooses the id before this process has looked: its reader must not be told that one's events."""
    async with (
        engines() as first,
        running(harness_on(database_url, [Agent(id="solo", model=model)], model=model)) as second,
    ):
        hold = model.hold("wait", after=1)
        await start_as(first, ADA, "r1", "s1", "wait")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
        _, reading = await second.runs.following.open(RunRef(second.component(), "r1", "s1", ADA), -1)
        await second.engine.read_changed_rows()
        events = [event async for flush in reading.available() for event in flush.events]
        assert events
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RowWatch, "_may_have_changed", never)
            hold.release()
            await first.sessions.delete("s1", ADA)
            await first.idle()
            while await first.database.read(of_run(runs.state_of, "r1")) is not None:
                pass
            await start_as(first, BOB, "r1", "s2", "secret")
            await first.idle()
            await second.engine.read_changed_rows()
        assert reading.is_closed
        assert [event async for flush in reading.available() for event in flush.events] == []
