"""What fails around a run: the store for a while, a model, a tool, our own code, the clock. The run ends visibly."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event, EventKind
from musterd.core.states import RunState
from musterd.engine import attempt_execution, database_retry, worker
from musterd.engine.broadcaster import EndWaiter
from musterd.engine.journal import Journal
from musterd.loop.loop import Loop
from musterd.loop.toolbox import Toolbox
from musterd.store import attempt_writes, claims
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness, read_all
from tests.support.held_model import HeldModel


@tool
def add(one: int, other: int) -> int:
    """Add numbers."""
    return one + other


class Outage:
    """The database refuses every write of an attempt, as often as told, and then takes them again."""

    def __init__(self, harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = self.refused = 0
        self._write = harness.database.write
        monkeypatch.setattr(harness.database, "write", self._or_refuse)
        monkeypatch.setattr(database_retry, "clock", self)
        monkeypatch.setattr(worker, "RETRY_SECONDS", 0)
        self.waited: list[float] = []

    def _or_refuse(self, work: Any) -> Awaitable[Any]:
        if self.left > 0:
            self.left -= 1
            self.refused += 1
            raise StoreUnavailable
        return self._write(work)

    async def sleep(self, seconds: float) -> None:
        """Wait as an attempt does, and no time."""
        self.waited.append(seconds)


@pytest.fixture
def outage(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(harness, monkeypatch)


@pytest.mark.parametrize("how_long", [1, 3, 10])
async def test_a_run_waits_for_the_database_and_loses_nothing(
    harness: EngineHarness, outage: Outage, how_long: int
) -> None:
    hold = harness.model.hold("[[WORDS 6]]", after=3)
    reading = harness.runs.subscribe("r1")
    await harness.start("[[WORDS 6]]", "r1")
    await hold.reached.wait()
    outage.left = how_long
    hold.release()
    view = await harness.end_of("r1")
    assert (view.row.state, outage.refused) == (RunState.COMPLETED, how_long)
    assert outage.waited == sorted(outage.waited), "patience grows"
    events = await read_all(reading)
    assert events == await harness.stored("r1")
    assert "".join(event.data.get("text", "") for _, event in events) == "word0 word1 word2 word3 word4 word5"
    kinds = [event.kind for _, event in events if event.kind is not EventKind.CONTENT]
    assert len(kinds) == len(set(kinds)), "nothing is told twice"
    assert len(harness.model.calls) == 1, "what was done is not done again"


async def test_a_tool_is_not_called_again_when_its_result_could_not_be_stored(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    outages: list[Outage] = []

    @tool
    async def effect() -> str:
        """Do something once."""
        calls.append(1)
        outages[0].left = 4
        return "done"

    async with engines(agents=[Agent(id="solo", model=model, tools=[effect])]) as harness:
        outages.append(Outage(harness, monkeypatch))
        view = await harness.run("[[TOOL effect {}]]", "r1")
        assert (view.row.state, len(calls), outages[0].refused) == (RunState.COMPLETED, 1, 4)


async def test_reading_what_a_run_starts_from_waits_too(
    harness: EngineHarness, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = harness.database.read
    refused: list[int] = []

    async def refuse_twice(work: Any) -> Any:
        if len(refused) < 2:
            refused.append(1)
            raise StoreUnavailable
        return await read(work)

    monkeypatch.setattr(harness.database, "read", refuse_twice)
    await harness.start("hi", "r1")
    end = EndWaiter(harness.broadcaster, "r1", "r1")
    await end.wait(100)
    assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_claims_go_on_after_any_failure(
    harness: EngineHarness, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = claims.claim, [StoreUnavailable(), sqlite3.OperationalError("ours"), KeyError("ours")]

    async def fail_first(*args: Any, **which: Any) -> Any:
        if failures:
            raise failures.pop()
        return await claim(*args, **which)

    monkeypatch.setattr(claims, "claim", fail_first)
    monkeypatch.setattr(harness.engine, "reserve", lambda: None)
    assert (await harness.run("hi", "r1")).row.state is RunState.COMPLETED
    assert failures == []


# Our own code is broken


BROKEN = [
    (Loop, "_prepare"),
    (Loop, "_model_turn"),
    (Toolbox, "call_all"),
    (Journal, "intend"),
    (Journal, "tool"),
    (attempt_execution, "load"),
]


@pytest.mark.parametrize("owner, name", BROKEN, ids=lambda value: value if isinstance(value, str) else value.__name__)
async def test_a_broken_part_ends_the_run_in_words(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise ZeroDivisionError("a secret of the house")

    async with engines(agents=[Agent(id="solo", model=model, tools=[add])]) as harness:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            view = await harness.run('[[TOOL add {"one": 1, "other": 2}]]', "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
        assert view.output is not None
        assert "secret" not in str(view.output.as_json())
        events = await harness.stored("r1")
        assert events[-1][1].kind is EventKind.RUN_ERROR
        assert "secret" not in str(events)
        await harness.idle()
        assert (await harness.run("hi", "r2")).row.state is RunState.COMPLETED, "the line is free"


async def test_an_end_that_cannot_be_stored_as_it_was_is_stored_as_an_error(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, failures = attempt_writes.finish, [ValueError("no JSON")]

    async def fail_first(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await finish(*args)

    monkeypatch.setattr(attempt_writes, "finish", fail_first)
    view = await harness.run("hi", "r1")
    assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
    await harness.idle()


async def test_a_cancelled_end_that_cannot_be_stored_as_it_was_is_cancelled_all_the_same(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, finish, failures = harness.model.hold("hi"), attempt_writes.finish, [ValueError("no JSON")]

    async def fail_first(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await finish(*args)

    monkeypatch.setattr(attempt_writes, "finish", fail_first)
    await harness.start("hi", "r1")
    await hold.reached.wait()
    assert (await harness.cancel("r1")).state is RunState.CANCELLED
    await harness.idle()


@pytest.mark.parametrize("way", ["append", "finish"])
async def test_a_store_function_that_is_broken_frees_the_slot_and_the_run_ends_in_the_end(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(attempt_writes, way, broken)
        await harness.start("hi", "r1")
        end = EndWaiter(harness.broadcaster, "r1", "r1")
        await end.wait(100)
        await harness.idle()
    assert (await harness.run("hi", "r2", "s2")).row.state is RunState.COMPLETED
    ended = (await harness.end_of("r1")).row
    assert ended.state.is_final
    assert (ended.attempt > 1) == (way == "finish"), "as after a crash another attempt goes on"


async def test_a_window_that_cannot_be_stored_ends_the_run(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = harness.model.hold("[[WORDS 4]]", after=2)
    append, failed = attempt_writes.append, asyncio.Event()
    loop = asyncio.get_running_loop()

    async def fail_on_text(tx: Any, lease: Any, batch: Any) -> Any:
        if any(event.kind is EventKind.CONTENT for event in batch.events):
            loop.call_soon_threadsafe(failed.set)
            raise ZeroDivisionError
        return await append(tx, lease, batch)

    monkeypatch.setattr(attempt_writes, "append", fail_on_text)
    await harness.start("[[WORDS 4]]", "r1")
    await hold.reached.wait()
    await failed.wait()
    hold.release()
    view = await harness.end_of("r1")
    assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
    await harness.idle()


# Models, tools, time


async def test_a_failing_model_ends_its_run_and_a_members_is_told_to_the_leader(
    engines: Engines, model: HeldModel
) -> None:
    team = Team(id="team", model=model, members=[Agent(id="helper", name="Helper")])
    async with engines(teams=[team]) as harness:
        view = await harness.run("[[ERROR 400]]", "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "model_error")
        view = await harness.run("[[DELEGATE helper: <ERROR 400>]]", "r2")
        assert view.output is not None
        assert view.row.state is RunState.COMPLETED
        assert "Helper failed: " in str(view.output.content)
        (member,) = await harness.members("r2")
        assert (member.row.state, member.row.error_code) == (RunState.ERROR, "model_error")


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("kind", ["model", "thread", "loop"])
async def test_the_time_limit_ends_the_run_whatever_it_is_doing(
    engines: Engines, model: HeldModel, let_go: threading.Event, kind: str
) -> None:
    @tool
    def thread() -> None:
        """Stay in a thread."""
        let_go.wait()

    @tool
    async def loop() -> None:
        """Stay in the loop."""
        await asyncio.get_running_loop().create_future()

    model.hold("[[WORDS 3]]", after=1)
    message = "[[WORDS 3]]" if kind == "model" else f"[[TOOL {kind} {{}}]]"
    async with engines(agents=[Agent(id="solo", model=model, tools=[thread, loop])], run_seconds=0.1) as harness:
        view = await harness.run(message, "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "time_limit")
        assert (await harness.stored("r1"))[-1][1].kind is EventKind.RUN_ERROR
        await harness.idle()


async def test_a_timeout_of_something_else_is_not_the_runs(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object) -> None:
        raise TimeoutError("somebody else's")

    monkeypatch.setattr(Loop, "_model_turn", broken)
    assert (await harness.run("hi", "r1")).row.error_code == "internal_error"


async def test_state_that_is_no_json_fails_the_tool_alone(engines: Engines, model: HeldModel) -> None:
    @tool
    def spoil(context: ToolContext) -> str:
        """Leave something odd."""
        context.session_state["odd"] = {1, 2}
        return "done"

    async with engines(agents=[Agent(id="solo", model=model, tools=[spoil])]) as harness:
        view = await harness.run("[[TOOL spoil {}]]", "r1")
        assert view.output is not None
        assert (view.row.state, view.output.tools[0].is_error) == (RunState.COMPLETED, True)
        assert (await harness.records.select("SELECT state FROM sessions")) == [{"state": "{}"}]


async def test_text_that_no_file_can_hold(engines: Engines, model: HeldModel) -> None:
    @tool
    def odd() -> str:
        """Give half a sign and a NUL."""
        return "a\ud800b\x00c"

    async with engines(agents=[Agent(id="solo", model=model, tools=[odd])]) as harness:
        view = await harness.run("[[TOOL odd {}]]", "r1")
        assert view.row.state is RunState.COMPLETED
        assert view.messages is not None


async def test_a_lost_attempt_stops_and_tells_nobody(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = harness.model.hold("[[TOOL nothing {}]]")
    await harness.start("[[TOOL nothing {}]]", "r1")
    await hold.reached.wait()
    task = harness.engine._live["r1"].task
    await harness.records.execute("UPDATE runs SET attempt = attempt + 1, worker = 'other' WHERE run_id = 'r1'")
    before = await harness.records.everything()
    hold.release()
    await task
    assert await harness.records.everything() == before
    assert len(harness.model.calls) == 1
    assert (await harness.records.row("r1")).state is RunState.RUNNING
    await harness.idle()


async def test_a_lost_attempt_gives_up_its_model_call(harness: EngineHarness) -> None:
    """A window that finds the run taken ends the loop: nobody pays for the rest of the answer."""
    hold = harness.model.hold("[[WORDS 9]]", after=3)
    await harness.start("[[WORDS 9]]", "r1")
    await hold.reached.wait()
    live = harness.engine._live["r1"]
    await harness.records.execute("UPDATE runs SET attempt = attempt + 1, worker = 'other' WHERE run_id = 'r1'")
    live.attempt.outbox.emit(Event(EventKind.CONTENT, "r1", 1.0, {"text": "late"}))
    await hold.stopped.wait()
    await live.task
    assert "late" not in str(await harness.stored("r1"))
    assert (await harness.records.row("r1")).state is RunState.RUNNING
    await harness.idle()
