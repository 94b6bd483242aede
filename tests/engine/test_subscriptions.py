"""Readers: whoever reads along, from whenever on, is shown exactly what is stored."""

import asyncio
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musterd import Agent, Settings, Team
from musterd.core.events import Event, EventKind
from musterd.core.records import Output
from musterd.core.states import RunState
from musterd.engine.activity import Activity
from musterd.engine.broadcaster import Broadcaster, EndWaiter, Flush
from musterd.engine.outbox import Outbox
from musterd.engine.step_gate import StepGate
from musterd.service.subscription import RunSubscription
from musterd.store import attempt_writes
from musterd.store.attempt_writes import End, Lease
from musterd.store.database import Database
from musterd.store.events import StoredFlush
from musterd.store.open_database import open_database
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.store import Records, new_run

RUNS = ("root", "m1", "m2")
ACTS = st.one_of(
    st.tuples(st.just("text"), st.sampled_from(RUNS), st.sampled_from(["a", "bb", "ccc"])),
    st.tuples(st.just("tell"), st.sampled_from(RUNS), st.sampled_from(["content_completed", "model_request_started"])),
    st.tuples(st.just("void"), st.sampled_from(RUNS), st.just("")),
    st.tuples(st.sampled_from(["commit", "turn", "read"]), st.just(""), st.just("")),
)


def texts(events: list[tuple[int, Event]]) -> dict[str, str]:
    """What each run said, and between it what else it told, in its own order."""
    by_run: defaultdict[str, str] = defaultdict(str)
    for _, event in events:
        by_run[event.run_id] += event.data.get("text", "") if event.kind is EventKind.CONTENT else f"<{event.kind}>"
    return dict(by_run)


class Telling:
    """An attempt that tells what hypothesis says, and what it told."""

    def __init__(self, records: Records, broadcaster: Broadcaster, root: str, attempt: int) -> None:
        self.records, self.root = records, root
        own = Settings(delta_seconds=0, first_delta_seconds=0)
        self.outbox = Outbox(
            records.database, broadcaster, Lease(root, attempt, root), own, StepGate(), Activity(new_run(root))
        )
        self.texts: defaultdict[str, str] = defaultdict(str)

    def name(self, run: str) -> str:
        return self.root if run == "root" else f"{self.root}/{run}"

    async def do(self, act: str, run: str, detail: str) -> None:
        run = self.name(run)
        if act == "text":
            self.texts[run] += detail
            self.outbox.emit(Event(EventKind.CONTENT, run, 1.0, {"text": detail}))
        elif act == "tell":
            self.tell(EventKind(detail), run)
        elif act == "void":
            self.tell(EventKind.RUN_CONTINUED, run, {"superseded": [{"run_id": run, "path": ""}]})
            self.tell(EventKind.MODEL_REQUEST_STARTED, run)
        elif act == "commit":
            await self.outbox.commit()
        elif act == "turn":
            await asyncio.wait([asyncio.ensure_future(_nothing())])

    def tell(self, kind: EventKind, run: str, data: dict[str, object] | None = None) -> None:
        self.texts[run] += f"<{kind}>"
        self.outbox.emit(Event(kind, run, 1.0, data or {}))

    async def end(self) -> None:
        end = End(state=RunState.COMPLETED, at=1.0, output=Output(), messages=[])
        self.texts[self.root] += f"<{EventKind.RUN_COMPLETED}>"
        event = Event(EventKind.RUN_COMPLETED, self.root, 1.0, {})
        await self.outbox.settle(lambda tx, lease, batch: attempt_writes.finish(tx, lease, batch, end), event)
        self.outbox.close()


async def _nothing() -> None:
    pass


def check_void(events: list[tuple[int, Event]]) -> None:
    """What is void begins at the run's last request before it was said to be void."""
    requests: dict[str, int] = {}
    for index, event in events:
        if event.kind is EventKind.MODEL_REQUEST_STARTED:
            requests[event.run_id] = index
        for item in event.data.get("superseded", ()):
            assert item["from_event_index"] == requests.get(item["run_id"], 0)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(ACTS, max_size=40))
async def test_live_and_stored_are_the_same_sequence(database_url: str, acts: list[tuple[str, str, str]]) -> None:
    database, broadcaster = open_database(database_url), Broadcaster(1_000_000, Alone())
    await database.open()
    try:
        records = Records(database)
        (count,) = await records.select("SELECT count(*) AS n FROM runs")
        root = f"r{count['n']}"
        resources = _Resources(database, broadcaster)
        reading = RunSubscription(resources, root)  # type: ignore[arg-type]
        early = asyncio.ensure_future(read_all(reading))
        run = await records.started(root, root)
        telling = Telling(records, broadcaster, root, run.attempt)
        late = []
        for act, name, detail in acts:
            await telling.do(act, name, detail)
            if act == "read":
                late.append(asyncio.ensure_future(read_all(RunSubscription(resources, root), is_new=False)))  # type: ignore[arg-type]
        await telling.end()
        stored = await records.events(root)
        assert [index for index, _ in stored] == list(range(len(stored)))
        assert texts(stored) == {name: text for name, text in telling.texts.items() if text}
        assert await early == stored
        for task in late:
            assert await task == stored
        assert await read_all(RunSubscription(resources, root), is_new=False) == stored  # type: ignore[arg-type]
        check_void(stored)
    finally:
        await database.close()


class Alone:
    """There are no other processes."""

    def send_events(self, root_id: str, flush: StoredFlush) -> None: ...

    def follow_run(self, root_id: str) -> None: ...

    def unfollow_run(self, root_id: str) -> None: ...

    def send_session_change(self, session_id: str) -> None: ...

    def follow_session(self, session_id: str) -> None: ...

    def unfollow_session(self, session_id: str) -> None: ...


class _Resources:
    """What a reading asks for."""

    def __init__(self, database: Database, broadcaster: Broadcaster) -> None:
        self.database, self.broadcaster = database, broadcaster


async def test_readers_of_a_real_run_are_shown_the_same(engines: Engines, model: HeldModel) -> None:
    team = Team(id="team", model=model, members=[Agent(id="one"), Agent(id="two")])
    async with engines(teams=[team], delta_seconds=0.001) as harness:
        early = harness.runs.subscribe("r1")
        hold = model.hold("[[WORDS 30]]", after=10)
        await harness.start("[[DELEGATE one: <WORDS 30> || DELEGATE two: <WORDS 20>]]", "r1")
        await hold.reached.wait()
        middle = harness.runs.subscribe("r1")
        reading = asyncio.ensure_future(read_all(middle, is_new=False))
        hold.release()
        await harness.end_of("r1")
        stored = await harness.stored("r1")
        assert await read_all(early) == stored
        assert await reading == stored
        assert await read_all(harness.runs.subscribe("r1"), is_new=False) == stored


async def test_long_stories_are_read_page_by_page(harness: EngineHarness) -> None:
    harness.records.worker = harness.engine.worker_id  # one that nobody knows is taken for dead
    run = await harness.records.started("r1")
    for number in range(450):
        await harness.records.append(run, events=[Event(EventKind.CONTENT, "r1", 1.0, {"text": str(number)})])
    reading = harness.runs.subscribe("r1")
    indexes = [flush.first_index async for flush in reading.stored()]
    assert indexes == list(range(450))
    assert [flush async for flush in reading.stored()] == []
    reading.close()


async def test_a_subscriber_that_lags_holds_up_nobody_and_reads_on_from_the_store(engines: Engines) -> None:
    async with engines(stream_buffer_bytes=1000) as harness:
        subscription = harness.runs.subscribe("r1")
        view = await harness.run("[[WORDS 2000]]", "r1")
        assert view.row.state is RunState.COMPLETED
        assert harness.broadcaster.metrics.stream_overflows.values[()] > 0
        assert subscription._subscription._weight <= 1000
        assert await read_all(subscription) == await harness.stored("r1")


async def test_nothing_is_kept_for_readers_that_have_gone(harness: EngineHarness) -> None:
    for number in range(5):
        reading = harness.runs.subscribe(f"r{number}")
        await harness.run("hi", f"r{number}")
        reading.close()
        reading.close()
    assert (harness.broadcaster._audiences, harness.broadcaster._waiters) == ({}, {})


async def test_a_wake_while_the_row_is_read_is_not_lost() -> None:
    broadcaster = Broadcaster(1000, Alone())
    waiter = EndWaiter(broadcaster, "r1", "member")
    broadcaster.push("r1", Flush(0, [Event(EventKind.RUN_COMPLETED, "member", 0.0)]))
    async with asyncio.timeout(30):
        await waiter.wait(60)
    waiter.close()
