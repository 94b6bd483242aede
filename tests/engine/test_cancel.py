"""Cancelling in one process: whatever the run is doing, it ends as cancelled, and what it said is kept."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from musterd import Agent, Team, tool
from musterd.core.errors import NotFound
from musterd.core.events import EventKind
from musterd.core.states import RunState
from musterd.engine import attempt_execution, loading
from musterd.engine.attempt import Attempt
from musterd.engine.outbox import Outbox
from musterd.engine.worker import Worker
from tests.engine.conftest import Engines
from tests.support.engine import Works, read_all
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
    found = Stuck()
    yield found
    found.may_end.set()


async def kinds(works: Works, run_id: str) -> list[EventKind]:
    return [event.kind for _, event in await works.stored(run_id)]


async def receipt(works: Works, run_id: str) -> list[dict[str, Any]]:
    """What a cancelled run says of the steps that were under way."""
    view = await works.end_of(run_id)
    assert view.output is not None
    return view.output.cut_off


async def test_a_queued_run(works: Works) -> None:
    hold = works.model.hold("held")
    await works.start("held", "r1")
    await works.start("queued", "r2")
    row = await works.cancel("r2")
    assert (row.state, row.cancel_by) == (RunState.CANCELLED, "client")
    hold.release()
    await works.end_of("r1")
    assert len(works.model.calls) == 1
    assert await kinds(works, "r2") == [EventKind.RUN_CANCELLED]
    await works.idle()


async def test_a_ready_run_and_the_reader_that_waits_for_it(engines: Engines) -> None:
    async with engines(concurrency=1) as works:
        hold = works.model.hold("held")
        await works.start("held", "r1", "s1")
        reading = works.runs.subscribe("r2")
        await works.start("ready", "r2", "s2")
        await works.start("next", "r3", "s2")
        waiting = asyncio.ensure_future(works.end_of("r2"))
        assert (await works.cancel("r2")).state is RunState.CANCELLED
        assert (await waiting).row.state is RunState.CANCELLED
        assert [event.kind for _, event in await read_all(reading)] == [EventKind.RUN_CANCELLED]
        hold.release()
        assert (await works.end_of("r3")).row.state is RunState.COMPLETED
        await works.idle()


async def test_a_running_model_call(works: Works) -> None:
    hold = works.model.hold("[[WORDS 10]]", after=3)
    reading = works.runs.subscribe("r1")
    await works.start("[[WORDS 10]]", "r1")
    await hold.reached.wait()
    row = await works.cancel("r1")
    assert row.state is RunState.CANCELLED
    assert hold.stopped.is_set(), "the call itself was given up"
    view = await works.end_of("r1")
    assert view.output is not None
    assert view.output.content == "word0 word1 word2 "
    assert view.output.error is None
    assert view.messages is not None
    assert view.messages[-1]["parts"][0]["content"] == "word0 word1 word2 "
    shown = await read_all(reading)
    assert shown == await works.stored("r1")
    assert shown[-1][1].kind is EventKind.RUN_CANCELLED
    assert "".join(event.data.get("text", "") for _, event in shown) == "word0 word1 word2 "


async def test_what_was_said_is_shown_to_a_later_run(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[Agent(id="solo", model=model, add_history_to_context=True)]) as works:
        hold = model.hold("[[WORDS 5]]", after=2)
        await works.start("[[WORDS 5]]", "r1")
        await hold.reached.wait()
        await works.cancel("r1")
        silent = model.hold("silent")
        await works.start("silent", "r2")
        await silent.reached.wait()
        await works.cancel("r2")
        await works.run("now", "r3")
        assert [(said["role"], said["content"]) for said in model.asked()] == [
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
    async with engines(agents=[solo]) as works:
        await works.start("[[TOOL stay {}]]", "r1")
        await asyncio.to_thread(stuck.began.wait)
        assert (await works.cancel("r1")).state is RunState.CANCELLED
        assert stuck.stopped.is_set() == (way == "wait_in_loop")
        await works.idle()
        assert (await works.run("[[SAY next]]", "r2")).row.state is RunState.COMPLETED
        assert len(model.calls) == 2, "nothing is called after a cancel"
        assert await receipt(works, "r1") == [{"path": "t0/c0", "kind": "tool", "name": "stay", "outcome": outcome}]
        steps = await works.records.select("SELECT path, state FROM journal WHERE root_id = 'r1' ORDER BY path")
        assert steps[1:] == [{"path": "t0/c0", "state": stored}, {"path": "t0/m", "state": "completed"}]


async def test_members_at_any_depth(engines: Engines, model: HeldModel) -> None:
    deep = Agent(id="deep", role="Digs")
    quick = Agent(id="quick", role="Answers")
    team = Team(id="outer", model=model, members=[Team(id="inner", members=[deep]), quick])
    async with engines(teams=[team]) as works:
        hold = model.hold("[[WORDS 4]]", after=2)
        ask = "[[DELEGATE inner: <DELEGATE deep: <WORDS 4>> || DELEGATE quick: <SAY done>]]"
        await works.start(ask, "r1")
        await hold.reached.wait()
        assert (await works.cancel("r1")).state is RunState.CANCELLED
        assert hold.stopped.is_set()
        rows = await works.records.select("SELECT component_id, state FROM runs")
        states = {row["component_id"]: row["state"] for row in rows}
        said = {step["path"]: (step["kind"], step["outcome"]) for step in await receipt(works, "r1")}
        assert said == {
            "t0/c0": ("delegate", "stopped"),
            "t0/c0/t0/c0": ("delegate", "stopped"),
            "t0/c0/t0/c0/t0/m": ("model", "stopped"),
        }
        open_steps = await works.records.select("SELECT path FROM journal WHERE state = 'started'")
        assert open_steps == [], "no step of a run that has ended is open"
        assert states == {"outer": "cancelled", "inner": "cancelled", "deep": "cancelled", "quick": "completed"}
        members = {view.row.component_id: view for view in await works.runs.members("r1")}
        assert members["deep"].output is not None
        assert members["deep"].output.content == "word0 word1 "
        ends = [event.run_id for _, event in await works.stored("r1") if event.kind is EventKind.RUN_CANCELLED]
        assert ends[-1] == "r1", "the root's end is the last event"
        assert set(ends) == {"r1", members["deep"].row.run_id, members["inner"].row.run_id}


async def test_claimed_and_not_begun(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cancel is stored behind the claim, and told before the claim is."""
    async with engines(concurrency=1) as works:
        hold = works.model.hold("held")
        await works.start("held", "r1", "s1")
        await works.start("ready", "r2", "s2")
        await hold.reached.wait()
        claim = Worker._claim_up_to

        async def claim_and_cancel(self: Worker, limit: int, **which: bool) -> object:
            claimed = await claim(self, limit, **which)
            if any(run.run_id == "r2" for run in claimed):
                await works.ask_to_cancel("r2")
            return claimed

        monkeypatch.setattr(Worker, "_claim_up_to", claim_and_cancel)
        hold.release()
        view = await works.end_of("r2")
        assert (view.row.state, view.row.attempt) == (RunState.CANCELLED, 1)
        assert len(works.model.calls) == 1
        assert await kinds(works, "r2") == [EventKind.RUN_CANCELLED]
        await works.idle()
        assert works.engine._early_cancels == set()


@pytest.mark.parametrize("message, content", [("[[SAY whole]]", "whole"), ("[[ERROR 400]]", None)])
async def test_stored_before_the_end_it_wins(
    works: Works, monkeypatch: pytest.MonkeyPatch, message: str, content: str | None
) -> None:
    """The loop has its answer, or its failure, and the cancel is committed before the end is."""
    settle = Outbox.settle

    async def cancel_first(self: Outbox, *given: object) -> object:
        await works.ask_to_cancel("r1")
        return await settle(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "settle", cancel_first)
    await works.start(message, "r1")
    view = await works.end_of("r1")
    assert view.output is not None
    assert (view.row.state, view.row.error_code) == (RunState.CANCELLED, None)
    assert (view.output.content, view.output.error) == (content, None)
    found = await kinds(works, "r1")
    assert found[-1] is EventKind.RUN_CANCELLED
    assert not {EventKind.RUN_COMPLETED, EventKind.RUN_ERROR} & set(found)
    await works.idle()


async def test_together_with_the_end_one_of_them_wins(works: Works) -> None:
    for number in range(30):
        run_id = f"r{number}"
        await works.start("[[WORDS 1]]", run_id)
        row, view = await asyncio.gather(works.cancel(run_id), works.end_of(run_id))
        assert row.state.is_final
        end = (await works.stored(run_id))[-1][1].kind
        assert view.row.state is {
            EventKind.RUN_COMPLETED: RunState.COMPLETED, EventKind.RUN_CANCELLED: RunState.CANCELLED,
        }[end]  # fmt: skip
    await works.idle()


async def test_twice_and_after_the_end(works: Works) -> None:
    hold = works.model.hold("held")
    await works.start("held", "r1")
    await hold.reached.wait()
    rows = await asyncio.gather(*(works.cancel("r1") for _ in range(5)))
    assert {row.state for row in rows} == {RunState.CANCELLED}
    before = await works.records.everything()
    assert (await works.cancel("r1")).state is RunState.CANCELLED
    assert await works.records.everything() == before
    with pytest.raises(NotFound):
        await works.cancel("never")


async def test_before_the_loop_has_read_anything(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    load = loading.load

    async def cancel_first(attempt: Attempt) -> object:
        await works.ask_to_cancel("r1")
        return await load(attempt)

    monkeypatch.setattr(attempt_execution, "load", cancel_first)
    await works.start("hello", "r1")
    assert (await works.end_of("r1")).row.state is RunState.CANCELLED


async def test_while_a_step_is_being_stored(works: Works) -> None:
    """The commit goes on; what it holds is told to readers once, before the end."""
    hold = works.model.hold("[[TOOL nothing {}]]")
    reading = works.runs.subscribe("r1")
    await works.start("[[TOOL nothing {}]]", "r1")
    await hold.reached.wait()
    async with works.writes_held():
        cancelling = asyncio.ensure_future(works.cancel("r1"))
        hold.release()
        await asyncio.wait([cancelling], timeout=0.05)
    assert (await cancelling).state is RunState.CANCELLED
    assert await read_all(reading) == await works.stored("r1")
