"""The steps of a run say what they are, and keep their earlier attempts: calls that failed or were cut off."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Agent, Team, tool
from musterd.core.events import Event, EventKind
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.wire.steps import RunStep, step_object
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import CallTimes

DELEGATES = '[[DELEGATE one: <TOOL mark {"n": 1}>]]'


class Marks:
    """A tool that waits in its first call, until the worker dies."""

    def __init__(self) -> None:
        self.hangs = True
        self.began = asyncio.Event()

    def tool(self, **declared: Any) -> Any:
        @tool(**declared)
        async def mark(n: int) -> str:
            """Mark a number."""
            if self.hangs:
                self.began.set()
                await asyncio.Event().wait()
            return f"marked {n}"

        return mark

    async def cut_off(self, harness: EngineHarness, message: str = '[[TOOL mark {"n": 1}]]') -> None:
        """Start a run, and kill its worker in the call."""
        await harness.start(message, "r1")
        await self.began.wait()
        await harness.kill()
        self.hangs = False


async def steps_of(harness: EngineHarness, run_id: str = "r1") -> dict[str, RunStep]:
    ref = RunRef(harness.component(), run_id, None, NOBODY)
    return {view.step.path: step_object(view) for view in await harness.runs.steps(ref)}


def attempts_of(step: RunStep) -> list[tuple[int, str]]:
    return [(attempt["attempt"], attempt["outcome"]) for attempt in step["attempts"]]


async def totals_of(harness: EngineHarness, run_id: str = "r1") -> dict[str, Any]:
    totals = (await harness.records.row(run_id)).totals
    assert totals is not None
    value: dict[str, Any] = json.loads(totals)
    return value


async def test_steps_say_what_they_are(engines: Engines, model: HeldModel) -> None:
    def look(run_input: Any) -> None:
        """A hook."""

    @tool
    def mark(n: int) -> str:
        """Mark a number."""
        return f"marked {n}"

    member = Agent(id="one", name="One", tools=[mark], pre_hooks=[look])
    async with engines(teams=[Team(id="team", model=model, members=[member])]) as harness:
        await harness.run(DELEGATES, "r1")
        steps = await steps_of(harness)
        (member_run,) = await harness.members("r1")
        own = RunRef(harness.component(), member_run.row.run_id, None, NOBODY)
        of_member = [view.step.path for view in await harness.runs.steps(own)]
    below = member_run.row.run_id
    assert [(step["path"], step["name"], step["run_id"], step["parent_path"]) for step in steps.values()] == [
        ("p", None, "r1", None),
        ("t0/m", "scripted", "r1", None),
        ("t0/c0", "delegate_task_to_member", "r1", None),
        ("t0/c0/pre0", "look", below, "t0/c0"),
        ("t0/c0/p", None, below, "t0/c0"),
        ("t0/c0/t0/m", "scripted", below, "t0/c0"),
        ("t0/c0/t0/c0", "mark", below, "t0/c0"),
        ("t0/c0/t1/m", "scripted", below, "t0/c0"),
        ("t1/m", "scripted", "r1", None),
    ]
    assert steps["t0/c0"]["child_run_ids"] == [below]
    assert steps["t0/c0/t0/c0"]["tool_call_id"]
    assert {path: step["tries"] for path, step in steps.items() if step["kind"] == "model"} == dict.fromkeys(
        ("t0/m", "t0/c0/t0/m", "t0/c0/t1/m", "t1/m"), 1
    )
    assert all(attempts_of(step) == [(1, "completed")] for step in steps.values())
    assert of_member == [path for path in steps if path.startswith("t0/c0/")]


async def test_a_call_to_several_members_has_the_runs_of_all(engines: Engines, model: HeldModel) -> None:
    members = [Agent(id="one"), Agent(id="two")]
    async with engines(teams=[Team(id="team", model=model, members=members, delegate_to_all_members=True)]) as harness:
        await harness.run("[[BROADCAST hello]]", "r1")
        steps = await steps_of(harness)
        run_ids = {view.row.path: view.row.run_id for view in await harness.members("r1")}
    assert steps["t0/c0"]["child_run_ids"] == [run_ids["t0/c0/0"], run_ids["t0/c0/1"]]
    assert steps["t0/c0/1"]["child_run_ids"] == [run_ids["t0/c0/1"]]
    assert (steps["t0/c0/1"]["run_id"], steps["t0/c0/1"]["parent_path"]) == ("r1", "t0/c0")
    last = steps["t0/c0/1/t0/m"]
    assert (last["run_id"], last["parent_path"]) == (run_ids["t0/c0/1"], "t0/c0/1")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without log lines: pretty tracebacks take longer than the tests that log them."""
    with capture_logs():
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("budget", [None, {"tokens": 1_000_000}])
async def test_a_model_call_that_fails_is_a_step(engines: Engines, model: HeldModel, budget: dict[str, int]) -> None:
    team = Team(id="team", model=model, members=[Agent(id="one")])
    options = {"budget": budget} if budget else {}
    async with engines(teams=[team], model_tries=3) as harness:
        await harness.run("[[DELEGATE one: <ERROR 503>]]", "r1", options=options)
        view = await harness.run("[[ERROR 400]]", "r2", options=options)
        members, own = await steps_of(harness, "r1"), await steps_of(harness, "r2")
        totals = [await totals_of(harness, run_id) for run_id in ("r1", "r2")]
    failed = members["t0/c0/t0/m"]
    assert (failed["state"], failed["tries"], failed["name"]) == ("failed", 3, "scripted")
    assert [(retry["reason"], retry["wait_seconds"]) for retry in failed["retries"]] == [
        ("fake model error 503", 0.0),
        ("fake model error 503", 0.0),
    ]
    times = [failed["started_at"], *(retry["failed_at"] for retry in failed["retries"]), failed["ended_at"]]
    known_times = [time for time in times if time is not None]
    assert known_times == sorted(known_times)
    assert len(known_times) == 4
    assert failed["first_token_seconds"] is None
    assert failed["error"] == {"code": "model_error", "message": "fake model error 503"}
    assert failed["ended_at"] is not None
    assert members["t0/c0"]["error"] == {"code": "tool_failed", "message": "one failed: fake model error 503"}
    assert view.row.state is RunState.ERROR
    assert (own["t0/m"]["state"], own["t0/m"]["tries"]) == ("failed", 1)
    assert [(total["model_calls"], total["tool_calls"], total["failed_calls"]) for total in totals] == [
        (3, 1, 1),
        (1, 0, 1),
    ]


@pytest.mark.parametrize("budget", [None, {"tokens": 1_000_000}])
@pytest.mark.parametrize("is_member_alone", [False, True])
async def test_a_model_call_that_a_cancel_stopped_is_a_step(
    engines: Engines, model: HeldModel, budget: dict[str, int], is_member_alone: bool
) -> None:
    hold = model.hold("[[SAY held]]")
    async with engines(teams=[Team(id="team", model=model, members=[Agent(id="one")])]) as harness:
        await harness.start("[[DELEGATE one: <SAY held>]]", "r1", options={"budget": budget} if budget else {})
        await hold.reached.wait()
        (member,) = await harness.members("r1")
        await harness.cancel(member.row.run_id if is_member_alone else "r1")
        await harness.end_of("r1")
        step, totals = (await steps_of(harness))["t0/c0/t0/m"], await totals_of(harness)
    assert (step["state"], step["name"], attempts_of(step)) == ("cancelled", "scripted", [(1, "cancelled")])
    assert step["ended_at"] is not None
    assert step["ended_at"] >= step["started_at"]
    assert (totals["model_calls"], totals["failed_calls"]) == (2 if is_member_alone else 1, 0)
    assert (step["usage"] or {}).get("estimated_tokens", 0) > 0 or budget is None, "the provider has charged for it"


@pytest.mark.usefixtures("quiet")
async def test_a_fork_makes_the_failed_call_again(engines: Engines, model: HeldModel) -> None:
    async with engines() as harness:
        await harness.run("[[ERROR 400]]", "r1")
        failed = await harness.server.forks.find_failed(RunRef(harness.component(), "r1", "s1", NOBODY), None)
        assert failed is not None
        await harness.server.forks.start(harness.component(), failed, ForkRequest(run_id="r2"), NOBODY)
        await harness.end_of("r2")
        steps = await steps_of(harness, "r2")
    assert attempts_of(steps["t0/m"]) == [(0, "failed"), (1, "failed")]


@pytest.mark.parametrize("budget", [None, {"tokens": 1_000_000}])
async def test_a_model_call_that_was_cut_off_twice_is_made_again(
    engines: Engines, model: HeldModel, budget: dict[str, int]
) -> None:
    hold = model.hold("[[WORDS", after=3)
    for number in (1, 2):
        async with engines() as harness:
            if number == 1:
                await harness.start("[[WORDS 6]]", "r1", options={"budget": budget} if budget else {})
            await hold.reached.wait()
            hold.reached.clear()
            await harness.wait_for_event("r1", _is_start_of_call(number))
            await harness.kill()
    hold.release()
    async with engines() as last:
        view = await last.end_of("r1")
        steps = await steps_of(last)
    assert view.row.state is RunState.COMPLETED
    step = steps["t0/m"]
    assert attempts_of(step) == [(1, "cut_off"), (2, "cut_off"), (3, "completed")]
    times = [attempt["started_at"] for attempt in step["attempts"]]
    assert times == sorted(times)
    assert times[-1] == step["started_at"]
    assert [attempt["ended_at"] is None for attempt in step["attempts"]] == [True, True, False]


def _is_start_of_call(number: int) -> Callable[[Event], bool]:
    """Whether an event is the start of the call in attempt ``number``."""
    starts: list[Event] = []

    def is_it(event: Event) -> bool:
        if event.kind is EventKind.MODEL_REQUEST_STARTED:
            starts.append(event)
        return len(starts) == number

    return is_it


@pytest.mark.parametrize("declared", [{"retry_safe": True}, {}])
async def test_a_tool_call_that_was_cut_off_and_repeated_keeps_both_attempts(
    engines: Engines, model: HeldModel, declared: dict[str, Any]
) -> None:
    marks = Marks()
    how: dict[str, Any] = {} if declared else {"on_unknown_effect": "retry"}
    agents = [Agent(id="solo", model=model, tools=[marks.tool(**declared)], **how)]
    async with engines(agents=agents) as first:
        await marks.cut_off(first)
    async with engines(agents=agents) as second:
        await second.end_of("r1")
        step = (await steps_of(second))["t0/c0"]
    assert attempts_of(step) == [(1, "cut_off"), (2, "completed")]
    before, after = step["attempts"]
    assert before["started_at"] < after["started_at"] == step["started_at"]
    assert step["ended_at"] is not None
    assert step["ended_at"] >= step["started_at"]


async def test_a_call_with_an_unknown_outcome_is_one_attempt_until_it_is_made_again(
    engines: Engines, model: HeldModel
) -> None:
    marks = Marks()
    agents = [Agent(id="solo", model=model, tools=[marks.tool()])]
    async with engines(agents=agents) as first:
        await marks.cut_off(first)
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        waiting = (await steps_of(second))["t0/c0"]
        assert view.output is not None
        (requirement,) = view.output.requirements
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN)
        await second.runs.decide(RunRef(second.component(), "r1", "s1", NOBODY), [decision])
        await second.end_of("r1")
        step = (await steps_of(second))["t0/c0"]
    assert (attempts_of(waiting), waiting["approval_id"]) == ([(2, "unknown")], requirement["id"])
    assert attempts_of(step) == [(2, "unknown"), (3, "completed")]
    assert step["approval_id"] == requirement["id"]


async def test_a_call_that_waits_for_approval_has_one_attempt(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    marks.hangs = False
    agents = [Agent(id="solo", model=model, tools=[marks.tool(requires_confirmation=True)])]
    async with engines(agents=agents) as harness:
        view = await harness.run('[[TOOL mark {"n": 1}]]', "r1")
        waiting = (await steps_of(harness))["t0/c0"]
        assert view.output is not None
        (requirement,) = view.output.requirements
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN, values={"n": 2})
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [decision])
        await harness.end_of("r1")
        step = (await steps_of(harness))["t0/c0"]
        content = (await harness.runs.step(RunRef(harness.component(), "r1", None, NOBODY), "t0/c0")).content
    assert attempts_of(waiting) == [(1, "waiting")]
    assert attempts_of(step) == [(2, "completed")]
    assert content is not None
    assert (content.arguments, content.result, content.result_characters) == ({"n": 2}, "marked 2", 8)


async def test_a_call_whose_time_is_over_is_made_again_in_the_same_attempt(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, times = list[int](), CallTimes(monkeypatch)

    @tool(timeout_seconds=60)
    async def slow(n: int) -> str:
        """Too slow at first."""
        calls.append(n)
        if len(calls) == 1:
            times.end()
            await asyncio.Event().wait()
        return "done"

    agents = [Agent(id="solo", model=model, tools=[slow], on_unknown_effect="retry")]
    async with engines(agents=agents) as harness:
        await harness.run('[[TOOL slow {"n": 1}]]', "r1")
        step = (await steps_of(harness))["t0/c0"]
    assert attempts_of(step) == [(1, "unknown"), (1, "completed")]
    assert step["attempts"][1]["started_at"] == step["started_at"] > step["attempts"][0]["started_at"]


async def test_pages_of_steps_follow_each_other(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    marks.hangs = False
    message = " ".join(f'[[TOOL mark {{"n": {n}}}]]' for n in range(7))
    async with engines(agents=[Agent(id="solo", model=model, tools=[marks.tool()])]) as harness:
        await harness.run(message, "r1")
        ref, paths = RunRef(harness.component(), "r1", None, NOBODY), list[str]()
        while page := await harness.runs.steps(ref, paths[-1] if paths else None, 4):
            assert len(page) <= 4
            paths += [view.step.path for view in page]
        assert paths == list(await steps_of(harness))
        assert not await harness.runs.steps(ref, "no such step", 4)
