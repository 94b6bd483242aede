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
from musterd.store import attempts
from tests.engine.conftest import Engines
from tests.support.engine import Works, read_all
from tests.support.held_model import HeldModel


@tool
def add(one: int, other: int) -> int:
    """Add numbers."""
    return one + other


class Outage:
    """The database refuses every write of an attempt, as often as told, and then takes them again."""

    def __init__(self, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = self.refused = 0
        self._write = works.database.write
        monkeypatch.setattr(works.database, "write", self._or_refuse)
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
def outage(works: Works, monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(works, monkeypatch)


@pytest.mark.parametrize("how_long", [1, 3, 10])
async def test_a_run_waits_for_the_database_and_loses_nothing(works: Works, outage: Outage, how_long: int) -> None:
    hold = works.model.hold("[[WORDS 6]]", after=3)
    reading = works.runs.subscribe("r1")
    await works.start("[[WORDS 6]]", "r1")
    await hold.reached.wait()
    outage.left = how_long
    hold.release()
    view = await works.end_of("r1")
    assert (view.row.state, outage.refused) == (RunState.COMPLETED, how_long)
    assert outage.waited == sorted(outage.waited), "patience grows"
    shown = await read_all(reading)
    assert shown == await works.stored("r1")
    assert "".join(event.data.get("text", "") for _, event in shown) == "word0 word1 word2 word3 word4 word5"
    kinds = [event.kind for _, event in shown if event.kind is not EventKind.CONTENT]
    assert len(kinds) == len(set(kinds)), "nothing is told twice"
    assert len(works.model.calls) == 1, "what was done is not done again"


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

    async with engines(agents=[Agent(id="solo", model=model, tools=[effect])]) as works:
        outages.append(Outage(works, monkeypatch))
        view = await works.run("[[TOOL effect {}]]", "r1")
        assert (view.row.state, len(calls), outages[0].refused) == (RunState.COMPLETED, 1, 4)


async def test_reading_what_a_run_starts_from_waits_too(
    works: Works, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = works.database.read
    refused: list[int] = []

    async def refuse_twice(work: Any) -> Any:
        if len(refused) < 2:
            refused.append(1)
            raise StoreUnavailable
        return await read(work)

    monkeypatch.setattr(works.database, "read", refuse_twice)
    await works.start("hi", "r1")
    end = EndWaiter(works.broadcaster, "r1", "r1")
    await end.wait(10)
    assert (await works.end_of("r1")).row.state is RunState.COMPLETED


async def test_claims_go_on_after_any_failure(works: Works, outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, failures = attempts.claim, [StoreUnavailable(), sqlite3.OperationalError("ours"), KeyError("ours")]

    async def fail_first(*given: Any, **which: Any) -> Any:
        if failures:
            raise failures.pop()
        return await claim(*given, **which)

    monkeypatch.setattr(attempts, "claim", fail_first)
    monkeypatch.setattr(works.engine, "reserve", lambda: None)
    assert (await works.run("hi", "r1")).row.state is RunState.COMPLETED
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
    def broken(*given: object, **more: object) -> None:
        raise ZeroDivisionError("a secret of the house")

    async with engines(agents=[Agent(id="solo", model=model, tools=[add])]) as works:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            view = await works.run('[[TOOL add {"one": 1, "other": 2}]]', "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
        assert view.output is not None
        assert "secret" not in str(view.output.as_json())
        found = await works.stored("r1")
        assert found[-1][1].kind is EventKind.RUN_ERROR
        assert "secret" not in str(found)
        await works.idle()
        assert (await works.run("hi", "r2")).row.state is RunState.COMPLETED, "the line is free"


async def test_an_end_that_cannot_be_stored_as_it_was_is_stored_as_an_error(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, failures = attempts.settle, [ValueError("no JSON")]

    async def fail_first(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return await settle(*given)

    monkeypatch.setattr(attempts, "settle", fail_first)
    view = await works.run("hi", "r1")
    assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
    await works.idle()


async def test_a_cancelled_end_that_cannot_be_stored_as_it_was_is_cancelled_all_the_same(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, settle, failures = works.model.hold("hi"), attempts.settle, [ValueError("no JSON")]

    async def fail_first(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return await settle(*given)

    monkeypatch.setattr(attempts, "settle", fail_first)
    await works.start("hi", "r1")
    await hold.reached.wait()
    assert (await works.cancel("r1")).state is RunState.CANCELLED
    await works.idle()


@pytest.mark.parametrize("way", ["append", "settle"])
async def test_a_store_function_that_is_broken_frees_the_slot_and_the_run_ends_in_the_end(
    works: Works, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async def broken(*given: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(attempts, way, broken)
        await works.start("hi", "r1")
        end = EndWaiter(works.broadcaster, "r1", "r1")
        await end.wait(10)
        await works.idle()
    assert (await works.run("hi", "r2", "s2")).row.state is RunState.COMPLETED
    ended = (await works.end_of("r1")).row
    assert ended.state.is_final
    assert (ended.attempt > 1) == (way == "settle"), "as after a crash another attempt goes on"


async def test_a_window_that_cannot_be_stored_ends_the_run(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = works.model.hold("[[WORDS 4]]", after=2)
    append, failed = attempts.append, asyncio.Event()
    loop = asyncio.get_running_loop()

    async def fail_on_text(tx: Any, lease: Any, batch: Any) -> Any:
        if any(event.kind is EventKind.CONTENT for event in batch.events):
            loop.call_soon_threadsafe(failed.set)
            raise ZeroDivisionError
        return await append(tx, lease, batch)

    monkeypatch.setattr(attempts, "append", fail_on_text)
    await works.start("[[WORDS 4]]", "r1")
    await hold.reached.wait()
    await failed.wait()
    hold.release()
    view = await works.end_of("r1")
    assert (view.row.state, view.row.error_code) == (RunState.ERROR, "internal_error")
    await works.idle()


# Models, tools, time


async def test_a_failing_model_ends_its_run_and_a_members_is_told_to_the_leader(
    engines: Engines, model: HeldModel
) -> None:
    team = Team(id="team", model=model, members=[Agent(id="helper", name="Helper")])
    async with engines(teams=[team]) as works:
        view = await works.run("[[ERROR 400]]", "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "model_error")
        view = await works.run("[[DELEGATE helper: <ERROR 400>]]", "r2")
        assert view.output is not None
        assert view.row.state is RunState.COMPLETED
        assert "Helper failed: " in str(view.output.content)
        (member,) = await works.runs.members("r2")
        assert (member.row.state, member.row.error_code) == (RunState.ERROR, "model_error")


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()


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
    async with engines(agents=[Agent(id="solo", model=model, tools=[thread, loop])], run_seconds=0.1) as works:
        view = await works.run(message, "r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "time_limit")
        assert (await works.stored("r1"))[-1][1].kind is EventKind.RUN_ERROR
        await works.idle()


async def test_a_timeout_of_something_else_is_not_the_runs(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*given: object) -> None:
        raise TimeoutError("somebody else's")

    monkeypatch.setattr(Loop, "_model_turn", broken)
    assert (await works.run("hi", "r1")).row.error_code == "internal_error"


async def test_state_that_is_no_json_fails_the_tool_alone(engines: Engines, model: HeldModel) -> None:
    @tool
    def spoil(context: ToolContext) -> str:
        """Leave something odd."""
        context.session_state["odd"] = {1, 2}
        return "done"

    async with engines(agents=[Agent(id="solo", model=model, tools=[spoil])]) as works:
        view = await works.run("[[TOOL spoil {}]]", "r1")
        assert view.output is not None
        assert (view.row.state, view.output.tools[0].is_error) == (RunState.COMPLETED, True)
        assert (await works.records.select("SELECT state FROM sessions")) == [{"state": "{}"}]


async def test_text_that_no_file_can_hold(engines: Engines, model: HeldModel) -> None:
    @tool
    def odd() -> str:
        """Give half a sign and a NUL."""
        return "a\ud800b\x00c"

    async with engines(agents=[Agent(id="solo", model=model, tools=[odd])]) as works:
        view = await works.run("[[TOOL odd {}]]", "r1")
        assert view.row.state is RunState.COMPLETED
        assert view.messages is not None


async def test_a_lost_attempt_stops_and_tells_nobody(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = works.model.hold("[[TOOL nothing {}]]")
    await works.start("[[TOOL nothing {}]]", "r1")
    await hold.reached.wait()
    task = works.engine._live["r1"].task
    await works.records.execute("UPDATE runs SET attempt = attempt + 1, worker = 'other' WHERE run_id = 'r1'")
    before = await works.records.everything()
    hold.release()
    await task
    assert await works.records.everything() == before
    assert len(works.model.calls) == 1
    assert (await works.records.row("r1")).state is RunState.RUNNING
    await works.idle()


async def test_a_lost_attempt_gives_up_its_model_call(works: Works) -> None:
    """A window that finds the run taken ends the loop: nobody pays for the rest of the answer."""
    hold = works.model.hold("[[WORDS 9]]", after=3)
    await works.start("[[WORDS 9]]", "r1")
    await hold.reached.wait()
    live = works.engine._live["r1"]
    await works.records.execute("UPDATE runs SET attempt = attempt + 1, worker = 'other' WHERE run_id = 'r1'")
    live.attempt.outbox.emit(Event(EventKind.CONTENT, "r1", 1.0, {"text": "late"}))
    await hold.stopped.wait()
    await live.task
    assert "late" not in str(await works.stored("r1"))
    assert (await works.records.row("r1")).state is RunState.RUNNING
    await works.idle()
