"""A run with a budget ends at its ceiling, in words, and crashes and pauses give nothing back."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, Budget, Team, tool
from musterd.core import clock
from musterd.core.events import Event, EventKind
from musterd.core.records import RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.engine.recovery import worked_seconds
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY
from tests.support.held_model import HeldModel
from tests.support.time_limits import RunTimes

A_CALL = INPUT_TOKENS + OUTPUT_TOKENS
TWO_TURNS = '[[TOOL mark {"n": 1}]]'


@tool(retry_safe=True)
async def mark(n: int) -> str:
    """Mark a number."""
    return f"marked {n}"


def code_of(view: RunView) -> str:
    assert view.output is not None
    return view.output.error["code"] if view.output.error else view.row.state.value


def budget_of(view: RunView, ceiling: str) -> dict[str, Any]:
    assert view.output is not None
    assert view.output.budget is not None
    values: dict[str, Any] = view.output.budget[ceiling]
    return values


def _text_of_attempt(number: int) -> Callable[[Event], bool]:
    at = 1

    def is_it(event: Event) -> bool:
        nonlocal at
        at = event.data.get("attempt", at) if event.kind is EventKind.RUN_CONTINUED else at
        return at == number and event.kind is EventKind.CONTENT

    return is_it


class Priced(HeldModel):
    """The scripted model under the name of one that has a list price."""

    @property
    def system(self) -> str:
        return "openai"

    @property
    def model_name(self) -> str:
        return "gpt-4o"


async def test_a_run_within_its_budget_tells_what_is_left(engines: Engines, model: HeldModel) -> None:
    agent = Agent(id="solo", model=model, tools=[mark], budget=Budget(tokens=1000, tool_calls=5, seconds=60))
    async with engines(agents=[agent]) as harness:
        view = await harness.run(TWO_TURNS, "r1")
    assert view.row.state is RunState.COMPLETED
    assert budget_of(view, "tokens") == {"limit": 1000, "spent": 2 * A_CALL, "left": 1000 - 2 * A_CALL}
    assert budget_of(view, "tool_calls") == {"limit": 5, "spent": 1, "left": 4}
    assert 0 < budget_of(view, "seconds")["spent"] < 60


async def test_tokens_are_those_of_the_whole_tree(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.models.scripted.INPUT_TOKENS", 195)
    team = Team(id="team", model=model, members=[Agent(id="one")], budget=Budget(tokens=550))
    async with engines(teams=[team]) as harness:
        view = await harness.run("[[DELEGATE one: <SAY hi>]]", "r1")
        members = await harness.members("r1")
    assert (view.row.state, code_of(view)) == (RunState.ERROR, "budget_tokens")
    assert view.output is not None
    assert view.output.content == (
        "The budget of 550 tokens is spent: 400 are used, and this call is estimated to need 200 more."
    )
    assert [member.row.state for member in members] == [RunState.COMPLETED]
    assert len(model.calls) == 2, "the third is never made"
    assert view.messages is not None
    assert len(view.messages) == 3, "what it did so far is kept"


async def test_a_member_at_the_trees_ceiling_ends_the_run(engines: Engines, model: HeldModel) -> None:
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[mark])], budget=Budget(tool_calls=1))
    async with engines(teams=[team]) as harness:
        view = await harness.run('[[DELEGATE one: <TOOL mark {"n": 1}>]]', "r1")
        members = await harness.members("r1")
    assert (view.row.state, code_of(view)) == (RunState.ERROR, "budget_tool_calls")
    assert [(member.row.state, code_of(member)) for member in members] == [(RunState.ERROR, "budget_tool_calls")]
    assert budget_of(view, "tool_calls") == {"limit": 1, "spent": 1, "left": 0}


async def test_a_members_own_budget_ends_the_member_alone(engines: Engines, model: HeldModel) -> None:
    one = Agent(id="one", name="One", tools=[mark], budget=Budget(tool_calls=0))
    team = Team(id="team", model=model, members=[one])
    message = '[[DELEGATE one: <TOOL mark {"n": 1}> || DELEGATE one: <SAY hi>]]'
    async with engines(teams=[team]) as harness:
        view = await harness.run(message, "r1")
        members = {member.row.path: member for member in await harness.members("r1")}
    assert view.row.state is RunState.COMPLETED
    assert view.output is not None
    assert view.output.budget is None
    assert "One failed: The budget of 0 tool calls is spent" in str(view.output.content)
    assert (members["t0/c0"].row.state, code_of(members["t0/c0"])) == (RunState.ERROR, "budget_tool_calls")
    assert members["t0/c1"].row.state is RunState.COMPLETED, "each run of it has its own"


async def test_depth_is_refused_in_words_that_the_leader_reads(engines: Engines, model: HeldModel) -> None:
    inner = Team(id="inner", members=[Agent(id="deep")])
    team = Team(id="team", model=model, members=[inner], budget=Budget(depth=1))
    async with engines(teams=[team]) as harness:
        view = await harness.run("[[DELEGATE inner: <DELEGATE deep: <SAY hi>>]]", "r1")
    assert view.row.state is RunState.COMPLETED
    assert view.output is not None
    assert "limited to 1 levels" in str(view.output.content)


async def test_seconds_end_a_call_that_is_under_way(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, times, steady = model.hold("[[WORDS", after=2), RunTimes(monkeypatch), clock.monotonic
    agent = Agent(id="solo", model=model, budget=Budget(seconds=60))
    async with engines(agents=[agent]) as harness:
        await harness.start("[[WORDS 6]]", "r1")
        await hold.reached.wait()
        monkeypatch.setattr(clock, "monotonic", lambda: steady() + 60)
        times.end()
        view = await harness.end_of("r1")
    assert (view.row.state, code_of(view)) == (RunState.ERROR, "budget_seconds")
    assert view.output is not None
    assert view.output.error is not None
    assert view.output.error["partial"].startswith("word0")
    assert budget_of(view, "seconds")["left"] == 0


async def test_an_example_is_no_partial_answer(engines: Engines, model: HeldModel) -> None:
    examples = ["2+2?", {"role": "assistant", "content": "4"}]
    agent = Agent(id="solo", model=model, budget=Budget(tokens=1), additional_input=examples)
    async with engines(agents=[agent]) as harness:
        view = await harness.run("3+3?", "r1")
    assert view.output is not None
    assert view.output.error is not None
    assert (view.output.error["code"], view.output.error.get("partial")) == ("budget_tokens", None)


async def test_a_call_that_is_ended_counts_by_estimate(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS", after=2)
    agent = Agent(id="solo", model=model, budget=Budget(tokens=500))
    async with engines(agents=[agent]) as harness:
        await harness.start("[[WORDS 6]]" + " x" * 200, "r1")
        await hold.reached.wait()
        await harness.cancel("r1")
        view = await harness.end_of("r1")
    assert view.row.state is RunState.CANCELLED
    assert budget_of(view, "tokens")["spent"] == (len("[[WORDS 6]]") + 400) // 4


async def test_the_lower_of_what_is_declared_and_asked_for_holds(engines: Engines, model: HeldModel) -> None:
    agent = Agent(id="solo", model=model, budget=Budget(tokens=100, tool_calls=1))
    async with engines(agents=[agent]) as harness:
        options = {"budget": {"tokens": 1000, "tool_calls": 0, "seconds": 9}}
        view = await harness.run("[[SAY hi]]", "r1", options=options)
    assert view.output is not None
    assert view.output.budget is not None
    assert {name: one["limit"] for name, one in view.output.budget.items()} == {
        "tokens": 100,
        "tool_calls": 0,
        "seconds": 9,
    }


async def test_cost_goes_by_list_prices(engines: Engines) -> None:
    model = Priced()
    one_call = 2.5e-6 * INPUT_TOKENS + 10e-6 * OUTPUT_TOKENS
    agent = Agent(id="solo", model=model, tools=[mark], budget=Budget(cost_usd=one_call * 1.1))
    async with engines(agents=[agent]) as harness:
        view = await harness.run(TWO_TURNS, "r1")
        (step,) = await harness.records.select("SELECT cost FROM journal WHERE path = 't0/m'")
    assert (view.row.state, code_of(view)) == (RunState.ERROR, "budget_cost")
    assert budget_of(view, "cost_usd")["spent"] == round(one_call, 9)
    assert step["cost"] == pytest.approx(one_call)


async def test_what_was_spent_before_a_crash_counts(engines: Engines, model: HeldModel) -> None:
    hold = model.hold(TWO_TURNS[:20], after=1)
    agent = Agent(id="solo", model=model, tools=[mark], budget=Budget(tokens=5000, tool_calls=5))
    async with engines(agents=[agent]) as first:
        await first.start(TWO_TURNS, "r1")
        while len(model.calls) < 2:
            await hold.reached.wait()
            hold.reached.clear()
            if len(model.calls) < 2:
                hold.release()
                hold.released = asyncio.Event()
        await first.kill()
    hold.release()
    async with engines(agents=[agent]) as second:
        view = await second.end_of("r1")
        steps = await second.records.select("SELECT path, usage FROM journal WHERE kind = 'model' ORDER BY path")
    assert view.row.state is RunState.COMPLETED
    assert len(model.calls) == 3
    lost = budget_of(view, "tokens")["spent"] - 2 * A_CALL
    assert A_CALL <= lost < 2 * A_CALL, "the call that was cut off, by estimate"
    assert f'"estimated_tokens":{lost}' in steps[1]["usage"]
    assert budget_of(view, "tool_calls")["spent"] == 1


async def test_every_crash_in_the_same_call_is_charged(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS", after=5)
    message = "[[WORDS 6]]" + " x" * 200
    agent = Agent(id="solo", model=model, budget=Budget(tokens=5000))
    spent = []
    for attempt in range(3):
        async with engines(agents=[agent]) as harness:
            if attempt == 0:
                await harness.start(message, "r1")
            await hold.reached.wait()
            hold.reached.clear()
            await harness.wait_for_event("r1", _text_of_attempt(attempt + 1))
            (step,) = await harness.records.select("SELECT state, usage FROM journal WHERE path = 't0/m'")
            await harness.kill()
        assert step["state"] == "started"
        spent.append(int(step["usage"].rpartition(":")[2].rstrip("}")))
    a_try = len(message) // 4
    assert spent[0] == a_try
    assert spent[1] >= 2 * a_try
    assert spent[2] >= spent[1] + a_try
    hold.release()
    async with engines(agents=[agent]) as harness:
        view = await harness.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    assert budget_of(view, "tokens")["spent"] >= spent[2] + A_CALL


async def test_crashes_spend_the_budget_of_a_run(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS", after=1)
    message = "[[WORDS 6]]" + " x" * 200
    agent = Agent(id="solo", model=model, budget=Budget(tokens=int(len(message) / 4 * 1.5)))
    async with engines(agents=[agent]) as first:
        await first.start(message, "r1")
        await hold.reached.wait()
        await first.kill()
    async with engines(agents=[agent]) as second:
        view = await second.end_of("r1")
    assert (view.row.state, code_of(view)) == (RunState.ERROR, "budget_tokens")
    assert len(model.calls) == 1


def test_time_of_work_is_neither_waiting_nor_being_dead() -> None:
    history: list[tuple[EventKind, str, float, dict[str, Any]]] = [
        (EventKind.RUN_STARTED, "r1", 100.0, {}),
        (EventKind.CONTENT, "r1", 103.0, {}),  # killed here
        (EventKind.RUN_CONTINUED, "r1", 200.0, {"attempt": 2}),
        (EventKind.RUN_STARTED, "m1", 201.0, {}),
        (EventKind.RUN_PAUSED, "m1", 204.0, {}),
        (EventKind.RUN_PAUSED, "r1", 205.0, {}),
        (EventKind.RUN_CONTINUED, "r1", 900.0, {"attempt": 3}),
        (EventKind.RUN_CONTINUED, "r1", 901.0, {"reason": "model_retry"}),
        (EventKind.CONTENT, "r1", 907.0, {}),
    ]
    events = [(place, Event(kind, run, at, data)) for place, (kind, run, at, data) in enumerate(history)]
    assert worked_seconds(events, "r1") == 3 + 5 + 7
    assert worked_seconds([], "r1") == 0


async def test_a_paused_run_keeps_what_it_spent(engines: Engines, model: HeldModel) -> None:
    began = asyncio.Event()

    @tool
    async def pay(n: int) -> str:
        """Pay."""
        if began.is_set():
            return "paid"
        began.set()
        await asyncio.Event().wait()
        return ""

    agent = Agent(id="solo", model=model, tools=[pay], budget=Budget(tokens=1000, seconds=60))
    async with engines(agents=[agent]) as first:
        await first.start('[[TOOL pay {"n": 1}]]', "r1")
        await began.wait()
        await first.kill()
    async with engines(agents=[agent]) as second:
        paused = await second.end_of("r1")
        assert paused.row.state is RunState.PAUSED
        before = budget_of(paused, "seconds")["spent"], budget_of(paused, "tokens")["spent"]
        assert paused.output is not None
        decision = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.RUN)
        await second.runs.decide(RunRef(second.component(), "r1", "s1", NOBODY), [decision])
        await second.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_COMPLETED)
        view = await second.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    assert before[1] == A_CALL
    assert budget_of(view, "tokens")["spent"] == 2 * A_CALL
    assert before[0] <= budget_of(view, "seconds")["spent"] < 60


async def test_a_run_without_a_budget_stores_no_more_than_before(engines: Engines, model: HeldModel) -> None:
    async with engines() as harness:
        view = await harness.run("[[SAY hi]]", "r1")
        (step,) = await harness.records.select("SELECT state, cost FROM journal WHERE path = 't0/m'")
    assert view.output is not None
    assert view.output.budget is None
    assert step == {"state": "completed", "cost": 0.0}


async def test_a_run_tells_what_it_cost_with_its_members(engines: Engines) -> None:
    model = Priced()
    hold = model.hold("[[TOOL mark")
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[mark])], tools=[mark])
    async with engines(teams=[team]) as first:
        await first.start('[[DELEGATE one: <TOOL mark {"n": 1}>]]', "r1")
        await hold.reached.wait()
        await first.kill()
    hold.release()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        (member,) = await second.members("r1")
    a_call = 2.5e-6 * INPUT_TOKENS + 10e-6 * OUTPUT_TOKENS
    assert view.output is not None
    assert member.output is not None
    assert view.output.cost == pytest.approx(4 * a_call)
    assert member.output.cost == pytest.approx(2 * a_call)
