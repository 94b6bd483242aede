"""Cancelling in one process: whatever the run is doing, it ends as cancelled, and what it said is kept."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core.errors import NotFound
from musterd.core.events import EventKind
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.engine import attempt_execution, loading
from musterd.engine.attempt import Attempt
from musterd.engine.outbox import Outbox
from musterd.engine.worker import Worker
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness, read_all
from tests.support.held_model import HeldModel


class Stuck:
    """A tool that stays in its thread, or in the loop, until the test lets it go."""

    def __init__(self) -> None:
        self.began, self.may_end, self.stopped = threading.Event(), threading.Event(), threading.Event()

    async def finish_all_the_same(self) -> str:
        self.began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        return "done all the same"

    def wait_in_thread(self) -> str:
        self.began.set()
        self.may_end.wait()
        return "at last"

    async def wait_in_loop(self) -> str:
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return "never"


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck_model = Stuck()
    yield stuck_model
    stuck_model.may_end.set()


async def kinds(harness: EngineHarness, run_id: str) -> list[EventKind]:
    return [event.kind for _, event in await harness.stored(run_id)]


async def receipt(harness: EngineHarness, run_id: str) -> list[dict[str, Any]]:
    """What a cancelled run says of the steps that were under way."""
    view = await harness.end_of(run_id)
    assert view.output is not None
    return view.output.cut_off


async def test_a_queued_run(harness: EngineHarness) -> None:
    hold = harness.model.hold("held")
    await harness.start("held", "r1")
    await harness.start("queued", "r2")
    row = await harness.cancel("r2")
    assert (row.state, row.cancel_by) == (RunState.CANCELLED, "client")
    hold.release()
    await harness.end_of("r1")
    assert len(harness.model.calls) == 1
    assert await kinds(harness, "r2") == [EventKind.RUN_CANCELLED]
    await harness.idle()


async def test_a_ready_run_and_the_reader_that_waits_for_it(engines: Engines) -> None:
    async with engines(concurrency=1) as harness:
        hold = harness.model.hold("held")
        await harness.start("held", "r1", "s1")
        reading = harness.runs.subscribe("r2")
        await harness.start("ready", "r2", "s2")
        await harness.start("next", "r3", "s2")
        waiting = asyncio.ensure_future(harness.end_of("r2"))
        assert (await harness.cancel("r2")).state is RunState.CANCELLED
        assert (await waiting).row.state is RunState.CANCELLED
        assert [event.kind for _, event in await read_all(reading)] == [EventKind.RUN_CANCELLED]
        hold.release()
        assert (await harness.end_of("r3")).row.state is RunState.COMPLETED
        await harness.idle()


async def test_a_running_model_call(harness: EngineHarness) -> None:
    hold = harness.model.hold("[[WORDS 10]]", after=3)
    reading = harness.runs.subscribe("r1")
    await harness.start("[[WORDS 10]]", "r1")
    await hold.reached.wait()
    row = await harness.cancel("r1")
    assert row.state is RunState.CANCELLED
    assert hold.stopped.is_set(), "the call itself was given up"
    view = await harness.end_of("r1")
    assert view.output is not None
    assert view.output.content == "word0 word1 word2 "
    assert view.output.error is None
    assert view.messages is not None
    assert view.messages[-1]["parts"][0]["content"] == "word0 word1 word2 "
    events = await read_all(reading)
    assert events == await harness.stored("r1")
    assert events[-1][1].kind is EventKind.RUN_CANCELLED
    assert "".join(event.data.get("text", "") for _, event in events) == "word0 word1 word2 "


async def test_what_was_said_is_shown_to_a_later_run(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[Agent(id="solo", model=model, add_history_to_context=True)]) as harness:
        hold = model.hold("[[WORDS 5]]", after=2)
        await harness.start("[[WORDS 5]]", "r1")
        await hold.reached.wait()
        await harness.cancel("r1")
        silent = model.hold("silent")
        await harness.start("silent", "r2")
        await silent.reached.wait()
        await harness.cancel("r2")
        await harness.run("now", "r3")
        assert [(said["role"], said["content"]) for said in model.conversation()] == [
            ("user", "[[WORDS 5]]"),
            ("assistant", "word0 word1 "),
            ("user", "now"),
        ]


@pytest.mark.parametrize(
    "way, outcome, stored",
    [
        ("wait_in_thread", "unknown", "unknown"),
        ("wait_in_loop", "stopped", "unknown"),  # it has ended; what it did before, nobody can say
        ("finish_all_the_same", "finished", "completed"),
    ],
)
async def test_a_tool(engines: Engines, model: HeldModel, stuck: Stuck, way: str, outcome: str, stored: str) -> None:
    solo = Agent(id="solo", model=model, tools=[tool(name="stay")(getattr(stuck, way))])
    async with engines(agents=[solo]) as harness:
        await harness.start("[[TOOL stay {}]]", "r1")
        await asyncio.to_thread(stuck.began.wait)
        assert (await harness.cancel("r1")).state is RunState.CANCELLED
        assert stuck.stopped.is_set() == (way == "wait_in_loop")
        await harness.idle()
        assert (await harness.run("[[SAY next]]", "r2")).row.state is RunState.COMPLETED
        assert len(model.calls) == 2, "nothing is called after a cancel"
        assert await receipt(harness, "r1") == [{"path": "t0/c0", "kind": "tool", "name": "stay", "outcome": outcome}]
        steps = await harness.records.select("SELECT path, state FROM journal WHERE root_id = 'r1' ORDER BY path")
        assert steps[1:] == [{"path": "t0/c0", "state": stored}, {"path": "t0/m", "state": "completed"}]


async def test_members_at_any_depth(engines: Engines, model: HeldModel) -> None:
    deep = Agent(id="deep", role="Digs")
    quick = Agent(id="quick", role="Answers")
    team = Team(id="outer", model=model, members=[Team(id="inner", members=[deep]), quick])
    async with engines(teams=[team]) as harness:
        hold = model.hold("[[WORDS 4]]", after=2)
        ask = "[[DELEGATE inner: <DELEGATE deep: <WORDS 4>> || DELEGATE quick: <SAY done>]]"
        await harness.start(ask, "r1")
        await hold.reached.wait()
        assert (await harness.cancel("r1")).state is RunState.CANCELLED
        assert hold.stopped.is_set()
        rows = await harness.records.select("SELECT component_id, state FROM runs")
        states = {row["component_id"]: row["state"] for row in rows}
        said = {step["path"]: (step["kind"], step["outcome"]) for step in await receipt(harness, "r1")}
        assert said == {
            "t0/c0": ("delegate", "stopped"),
            "t0/c0/t0/c0": ("delegate", "stopped"),
            "t0/c0/t0/c0/t0/m": ("model", "stopped"),
        }
        open_steps = await harness.records.select("SELECT path FROM journal WHERE state = 'started'")
        assert open_steps == [], "no step of a run that has ended is open"
        assert states == {"outer": "cancelled", "inner": "cancelled", "deep": "cancelled", "quick": "completed"}
        members = {view.row.component_id: view for view in await harness.members("r1")}
        assert members["deep"].output is not None
        assert members["deep"].output.content == "word0 word1 "
        ends = [event.run_id for _, event in await harness.stored("r1") if event.kind is EventKind.RUN_CANCELLED]
        assert ends[-1] == "r1", "the root's end is the last event"
        assert set(ends) == {"r1", members["deep"].row.run_id, members["inner"].row.run_id}


async def test_claimed_and_not_begun(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cancel is stored behind the claim, and told before the claim is."""
    async with engines(concurrency=1) as harness:
        hold = harness.model.hold("held")
        await harness.start("held", "r1", "s1")
        await harness.start("ready", "r2", "s2")
        await hold.reached.wait()
        claim = Worker._claim_ready

        async def claim_and_cancel(self: Worker, limit: int, run_ids: Sequence[str] | None) -> list[RunRow]:
            claimed = await claim(self, limit, run_ids)
            if any(run.run_id == "r2" for run in claimed):
                await harness.ask_to_cancel("r2")
            return claimed

        monkeypatch.setattr(Worker, "_claim_ready", claim_and_cancel)
        hold.release()
        view = await harness.end_of("r2")
        assert (view.row.state, view.row.attempt) == (RunState.CANCELLED, 1)
        assert len(harness.model.calls) == 1
        assert await kinds(harness, "r2") == [EventKind.RUN_CANCELLED]
        await harness.idle()
        assert harness.engine._early_cancels == set()


@pytest.mark.parametrize("message, content", [("[[SAY whole]]", "whole"), ("[[ERROR 400]]", None)])
async def test_stored_before_the_end_it_wins(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, message: str, content: str | None
) -> None:
    """The loop has its answer, or its failure, and the cancel is committed before the end is."""
    settle = Outbox.settle

    async def cancel_first(self: Outbox, *args: object) -> object:
        await harness.ask_to_cancel("r1")
        return await settle(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "settle", cancel_first)
    await harness.start(message, "r1")
    view = await harness.end_of("r1")
    assert view.output is not None
    assert (view.row.state, view.row.error_code) == (RunState.CANCELLED, None)
    assert (view.output.content, view.output.error) == (content, None)
    event_kinds = await kinds(harness, "r1")
    assert event_kinds[-1] is EventKind.RUN_CANCELLED
    assert not {EventKind.RUN_COMPLETED, EventKind.RUN_ERROR} & set(event_kinds)
    await harness.idle()


async def test_together_with_the_end_one_of_them_wins(harness: EngineHarness) -> None:
    for number in range(30):
        run_id = f"r{number}"
        await harness.start("[[WORDS 1]]", run_id)
        row, view = await asyncio.gather(harness.cancel(run_id), harness.end_of(run_id))
        assert row.state.is_final
        end = (await harness.stored(run_id))[-1][1].kind
        assert view.row.state is {
            EventKind.RUN_COMPLETED: RunState.COMPLETED, EventKind.RUN_CANCELLED: RunState.CANCELLED,
        }[end]  # fmt: skip
    await harness.idle()


async def test_twice_and_after_the_end(harness: EngineHarness) -> None:
    hold = harness.model.hold("held")
    await harness.start("held", "r1")
    await hold.reached.wait()
    rows = await asyncio.gather(*(harness.cancel("r1") for _ in range(5)))
    assert {row.state for row in rows} == {RunState.CANCELLED}
    before = await harness.records.everything()
    assert (await harness.cancel("r1")).state is RunState.CANCELLED
    assert await harness.records.everything() == before
    with pytest.raises(NotFound):
        await harness.cancel("never")


async def test_before_the_loop_has_read_anything(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    load = loading.load

    async def cancel_first(attempt: Attempt) -> object:
        await harness.ask_to_cancel("r1")
        return await load(attempt)

    monkeypatch.setattr(attempt_execution, "load", cancel_first)
    await harness.start("hello", "r1")
    assert (await harness.end_of("r1")).row.state is RunState.CANCELLED


async def test_while_a_step_is_being_stored(harness: EngineHarness) -> None:
    """The commit goes on; what it holds is told to readers once, before the end."""
    hold = harness.model.hold("[[TOOL nothing {}]]")
    reading = harness.runs.subscribe("r1")
    await harness.start("[[TOOL nothing {}]]", "r1")
    await hold.reached.wait()
    async with harness.writes_held():
        cancelling = asyncio.ensure_future(harness.cancel("r1"))
        hold.release()
        await asyncio.wait([cancelling], timeout=0.05)
    assert (await cancelling).state is RunState.CANCELLED
    assert await read_all(reading) == await harness.stored("r1")


@tool
async def book(context: ToolContext) -> str:
    """Book."""
    context.session_state["booked"] = True
    return "booked"


@tool(requires_confirmation=True)
async def pay() -> str:
    """Pay."""
    return "paid"


async def state_of(harness: EngineHarness) -> Any:
    (row,) = await harness.records.select("SELECT state FROM sessions")
    return json.loads(row["state"])


@pytest.mark.parametrize("ends", ["cancelled", "expired"])
async def test_a_paused_run_that_ends_leaves_what_its_tools_changed(
    engines: Engines, model: HeldModel, ends: str
) -> None:
    limit = {"pause_seconds": 0.01} if ends == "expired" else {}
    agents = [Agent(id="solo", model=model, tools=[book, pay])]
    async with engines(agents=agents, upkeep_seconds=3600, **limit) as harness:
        view = await harness.run("[[TOOL book]] [[TOOL pay]]", "r1")
        assert view.row.state is RunState.PAUSED
        assert (view.output and view.output.session_state) == {"booked": True}
        if ends == "expired":
            while (await harness.records.row("r1")).state is RunState.PAUSED:
                await harness.engine.upkeep.once()
        else:
            await harness.cancel("r1")
        assert (await harness.end_of("r1")).row.state.value == ("error" if ends == "expired" else ends)
        assert await state_of(harness) == {"booked": True}


async def test_a_cancel_in_the_middle_of_a_turn_keeps_what_the_other_call_changed(
    engines: Engines, model: HeldModel
) -> None:
    began = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    async with engines(agents=[Agent(id="solo", model=model, tools=[book, wait])]) as harness:
        await harness.start("[[TOOL book]] [[TOOL wait]]", "r1")
        await began.wait()
        await harness.wait_for_event("r1", lambda event: event.kind is EventKind.TOOL_CALL_COMPLETED)
        await harness.cancel("r1")
        assert await state_of(harness) == {"booked": True}
