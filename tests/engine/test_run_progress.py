"""What a run does and what it has used so far, while it is at work, after crashes, and at its end; and its attempts."""

import asyncio
import json
from typing import Any

import pytest

from musterd import Agent, Team, tool
from musterd.core.events import EventKind
from musterd.core.records import StepKind
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.models import call
from musterd.models.scripted import ScriptedModel
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS
from musterd.service.run_ref import RunRef
from musterd.store import journal, run_attempts
from musterd.wire.progress import AttemptEntry, attempt_list
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import of_run

DELEGATES = '[[DELEGATE one: <TOOL mark {"n": 1}>]]'


async def stored(harness: EngineHarness, run_id: str = "r1") -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The totals and the activity."""
    row = await harness.records.row(run_id)
    return tuple(None if text is None else json.loads(text) for text in (row.totals, row.activity))  # type: ignore[return-value]


async def attempts_of(harness: EngineHarness, run_id: str = "r1") -> list[AttemptEntry]:
    rows = await harness.database.read(of_run(run_attempts.of_root, run_id))
    return attempt_list(await harness.records.row(run_id), rows)


def tokens_of(calls: int) -> dict[str, int]:
    return {"input_tokens": calls * INPUT_TOKENS, "output_tokens": calls * OUTPUT_TOKENS, "model_calls": calls}


async def test_totals_count_the_members_and_stay_after_a_takeover(engines: Engines, model: HeldModel) -> None:
    began, hangs = asyncio.Event(), True

    @tool(retry_safe=True)
    async def mark(n: int) -> str:
        """Mark a number."""
        if hangs:
            began.set()
            await asyncio.Event().wait()
        return f"marked {n}"

    teams = [Team(id="team", model=model, members=[Agent(id="one", name="One", tools=[mark])])]
    async with engines(teams=teams) as first:
        await first.start(DELEGATES, "r1")
        await began.wait()
        await first.wait_for_event(
            "r1", lambda event: event.kind is EventKind.TOOL_CALL_STARTED and event.place == "t0/c0/t0/c0"
        )
        totals, activity = await stored(first)
        assert totals is not None
        assert totals.items() >= tokens_of(2).items()
        assert (totals["tool_calls"], totals["failed_calls"]) == (0, 0)
        assert activity is not None
        assert (activity["kind"], activity["member"], activity["tool"]) == ("tool", "One", "mark")
        await first.kill()
        hangs = False
    async with engines(teams=teams) as second:
        view = await second.end_of("r1")
        totals, activity = await stored(second)
    assert view.row.state is RunState.COMPLETED
    assert totals is not None
    assert totals.items() >= tokens_of(4).items()
    assert (totals["tool_calls"], totals["failed_calls"], totals["cost"]) == (2, 0, 0.0)
    assert activity is None


async def test_the_activity_follows_the_run(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS", after=0)
    async with engines() as harness:
        await harness.start("[[WORDS 4]]", "r1")
        await hold.reached.wait()
        await harness.wait_for_event("r1", lambda event: event.kind is EventKind.MODEL_REQUEST_STARTED)
        _, activity = await stored(harness)
        assert activity is not None
        assert (activity["kind"], activity["run_id"], activity["member"]) == ("model", "r1", harness.component().name)
        hold.release()
        await harness.end_of("r1")
        assert (await stored(harness))[1] is None
        model.release()
        later = model.hold("[[SLEEP", after=2)
        await harness.start("[[SLEEP 0]] [[WORDS 5]]", "r2")
        await later.reached.wait()
        await harness.wait_for_event("r2", lambda event: event.kind is EventKind.CONTENT)
        _, activity = await stored(harness, "r2")
        assert activity is not None
        assert activity["kind"] == "writing"
        await harness.kill()
    async with engines() as again:
        later.release()
        await again.end_of("r2")
        assert (await stored(again, "r2"))[1] is None


class UnloadedModel(ScriptedModel):
    """A scripted model that is loaded when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loading, self.ready = asyncio.Event(), asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        return self.ready.is_set()

    async def load(self) -> None:
        self.loading.set()
        await self.ready.wait()


async def test_a_call_whose_model_is_being_loaded_says_so_after_a_crash_too(engines: Engines) -> None:
    started, completed = EventKind.MODEL_LOADING_STARTED, EventKind.MODEL_LOADING_COMPLETED
    unloaded = UnloadedModel()
    teams = [Team(id="team", model=unloaded, members=[])]
    async with engines(teams=teams) as first:
        await first.start("hello", "r1")
        await first.wait_for_event("r1", lambda event: event.kind is started)
        _, activity = await stored(first)
        assert activity is not None
        assert (activity["kind"], activity["run_id"]) == ("loading", "r1")
        await first.kill()
    unloaded.loading.clear()
    async with engines(teams=teams) as second:
        await unloaded.loading.wait()
        unloaded.ready.set()
        await second.end_of("r1")
        kinds = [event.kind for _, event in await second.stored("r1")]
        steps = await second.database.read(of_run(journal.steps, "r1"))
    assert [kind for kind in kinds if kind in (started, completed)] == [started, started, completed]
    assert kinds.index(completed) < kinds.index(EventKind.CONTENT)
    load, call = (step for step in steps if step.kind in (StepKind.LOAD, StepKind.MODEL))
    assert (load.path, load.name, load.ended_at) == ("t0/m/load", call.name, call.started_at)


async def test_a_paused_run_waits(engines: Engines, model: HeldModel) -> None:
    @tool(requires_confirmation=True)
    def pay(n: int) -> str:
        """Pay."""
        return "paid"

    member = Agent(id="one", name="One", tools=[pay])
    async with engines(teams=[Team(id="team", model=model, members=[member])]) as harness:
        view = await harness.run('[[DELEGATE one: <TOOL pay {"n": 1}>]]', "r1")
        totals, activity = await stored(harness)
        assert view.output is not None
        (requirement,) = view.output.requirements
        assert activity is not None
        assert (activity["kind"], activity["run_id"]) == ("waiting", requirement["run_id"])
        assert (activity["member"], activity["tool"]) == ("One", "pay")
        assert totals is not None
        assert totals.items() >= tokens_of(2).items()
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN)
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [decision])
        await harness.end_of("r1")
        assert (await stored(harness))[1] is None
        attempts = await attempts_of(harness)
    assert [(entry["attempt"], entry["outcome"]) for entry in attempts] == [(1, "paused"), (2, "ended")]
    assert attempts[0]["worker_id"] == attempts[1]["worker_id"] is not None
    ends = [entry["ended_at"] for entry in attempts]
    assert ends[0] is not None
    assert ends[0] <= attempts[1]["started_at"]


async def test_a_run_of_one_attempt_stores_none(engines: Engines) -> None:
    async with engines() as harness:
        view = await harness.run("hello", "r1")
        assert await harness.records.select("SELECT * FROM run_attempts") == []
        (entry,) = await attempts_of(harness)
    assert (entry["attempt"], entry["outcome"]) == (1, "ended")
    assert entry["worker_id"] == harness.engine.worker_id
    assert (entry["started_at"], entry["ended_at"]) == (view.row.started_at, view.row.ended_at)


async def test_a_run_that_was_handed_over_has_an_attempt_of_each_process(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS", after=2)
    async with engines() as first:
        await first.start("[[WORDS 4]]", "r1")
        await hold.reached.wait()
        (entry,) = await attempts_of(first)
        assert (entry["outcome"], entry["worker_id"]) == ("running", first.engine.worker_id)
        await first.kill()
    hold.release()
    async with engines() as second:
        await second.end_of("r1")
        attempts = await attempts_of(second)
        worker_ids = [first.engine.worker_id, second.engine.worker_id]
    assert [(entry["attempt"], entry["outcome"]) for entry in attempts] == [(1, "handed_over"), (2, "ended")]
    assert [entry["worker_id"] for entry in attempts] == worker_ids


@pytest.mark.parametrize("price", [0.25])
async def test_totals_have_the_cost(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch, price: float
) -> None:
    monkeypatch.setattr(call, "price", lambda model, usage: price)
    async with engines(teams=[Team(id="team", model=model, members=[Agent(id="one")])]) as harness:
        view = await harness.run("[[DELEGATE one: hello]]", "r1")
        totals, _ = await stored(harness)
    assert totals is not None
    assert view.output is not None
    assert totals["cost"] == view.output.cost == 3 * price
