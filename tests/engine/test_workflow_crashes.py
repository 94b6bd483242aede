"""A worker that dies anywhere in a workflow: no stored step, branch, iteration or choice is done again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from musterd import (
    Agent,
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Team,
    ToolContext,
    Workflow,
)
from musterd.core.events import Event, EventKind
from musterd.core.records import RunView
from musterd.core.states import RunState
from musterd.loop.run_tree import digest
from tests.engine.conftest import Engines
from tests.support.crashes import CountedModel, Fuse, check_calls, check_each_event_once, end_before_death, stored_steps
from tests.support.engine import EngineHarness, harness_on, running

MOMENTS = 170
"""More than there are in a run without crashes."""
FLAKY = "s5/s0"
CHOICES = {"s1/c": "if", "s2/b2/i0/c": "go+++", "s2/b2/i1/c": "go++++", "s3/c": "way"}
"""Under which key each choice is counted, by its path."""


def _brief(step_input: StepInput) -> str:
    return "[[DELEGATE one: <WORDS 3>]]"


class CountedWorkflow:
    """A workflow with every kind of container, of which every call is counted, and an engine that can be killed."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        self.url, self.fuse = url, fuse
        self.model = CountedModel(fuse)
        self.effects: Counter[str] = Counter()
        self.choices: Counter[str] = Counter()
        self.crashes = 0
        writer = Agent(id="writer", model=self.model)
        team = Team(id="team", model=self.model, members=[Agent(id="one")])
        mark, count = self._function("mark"), self._function("count")
        again = Loop(
            name="again",
            steps=[Step(name="more", executor=count, retry_safe=True)],
            max_iterations=4,
            end_condition=self._has_enough,
            forward_iteration_output=True,
        )
        inner = Workflow(id="inner", steps=[Step(name="deep", executor=mark, retry_safe=True), writer])
        self.workflow = Workflow(
            id="all",
            steps=[
                Step(name="first", executor=mark, retry_safe=True),
                Condition(
                    name="if",
                    evaluator=self._holds,
                    steps=[Step(name="then", executor=mark, retry_safe=True)],
                    else_steps=[Step(name="otherwise", executor=mark, retry_safe=True)],
                ),
                Parallel(
                    Step(name="a", executor=mark, retry_safe=True), Step(name="b", agent=writer), again, name="side"
                ),
                Router(
                    name="way",
                    selector=self._select,
                    choices=[
                        Step(name="not-this", executor=mark),
                        Steps(name="ask", steps=[Step(name="brief", executor=_brief, retry_safe=True), team]),
                    ],
                ),
                inner,
                Steps(name="group", steps=[Step(name="flaky", executor=mark, retry_safe=True, max_retries=1), writer]),
            ],
        )

    def _function(self, name: str) -> Callable[..., Any]:
        async def function(step_input: StepInput, run_context: ToolContext) -> StepOutput:
            self.effects[run_context.idempotency_key] += 1
            await self.fuse.tick()
            if run_context.idempotency_key == digest("r1", FLAKY):
                raise ValueError("not at the first try")
            key = f"{name}{len(run_context.session_state)}"
            run_context.session_state[key] = run_context.session_state.get(key, 0) + 1
            await self.fuse.tick()
            return StepOutput(content=f"{step_input.previous_step_content or step_input.input}+")

        return function

    async def _holds(self, step_input: StepInput) -> bool:
        self.choices["if"] += 1
        await self.fuse.tick()
        return str(step_input.previous_step_content).endswith("+")

    async def _has_enough(self, outputs: Sequence[StepOutput]) -> bool:
        content = str(outputs[-1].content)
        self.choices[content] += 1
        await self.fuse.tick()
        return content.endswith("++++")

    async def _select(self, step_input: StepInput) -> str:
        self.choices["way"] += 1
        await self.fuse.tick()
        return "ask"

    def harness(self) -> EngineHarness:
        return harness_on(self.url, workflows=[self.workflow], delta_seconds=0, drain_seconds=0.05)

    async def _done_before(self, harness: EngineHarness) -> dict[str, int]:
        """How often each step with a stored result was done, by path."""
        models = await stored_steps(harness.records, "r1")
        done = {path: self.model.calls[key] for path, key in models.items() if key}
        rows = await harness.records.select(
            "SELECT path, kind, result FROM journal WHERE root_id = 'r1' AND result IS NOT NULL"
        )
        functions = [row["path"] for row in rows if row["kind"] == "function"]
        done |= {path: self.effects[digest("r1", path)] for path in functions}
        return done | {row["path"]: self.choices[CHOICES[row["path"]]] for row in rows if row["kind"] == "choice"}

    async def live(self, moments: int | None, message: str) -> RunView | None:
        """One process: it lives so long, or until the run has ended."""
        self.fuse.disarm()
        async with running(self.harness()) as harness:
            before = await self._done_before(harness)
            self.fuse.between = harness.stored_so_far
            if moments is not None:
                self.fuse.arm(moments)
            if not self.crashes:
                await harness.start(message, "r1")
            end = await end_before_death(self.fuse, harness)
            self.crashes += end is None
            after = await self._done_before(harness)
            assert {path: after[path] for path in before} == before, "no stored step or choice is repeated"
            return end


def outcome(view: RunView) -> dict[str, Any]:
    """What a run comes to, whatever happened on the way."""
    assert view.output is not None
    return {
        "state": view.row.state,
        "content": view.output.content,
        "session_state": view.output.session_state,
        "steps": [_plain(step) for step in view.output.step_results],
    }


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs between runs."""
    steps = [_plain(below) for below in step.get("steps") or ()]
    return {**step, "metrics": None, "step_run_id": step["step_run_id"] is not None, "steps": steps}


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    return {}


@pytest.mark.timeout(900)  # 15 runs, each killed up to four times
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(lives=st.lists(st.integers(0, MOMENTS), min_size=1, max_size=4))
@example(lives=[MOMENTS * 10])
@example(lives=[1, 1, 1, 1])
@example(lives=[60, 60, 60])
async def test_a_workflow_that_is_killed_anywhere_comes_to_the_same(
    new_database: Callable[[], str], fuse: Fuse, uninterrupted: dict[str, Any], lives: list[int]
) -> None:
    workflow = CountedWorkflow(new_database(), fuse)
    message = "go"
    view = None
    for moments in [*lives, None]:
        if view is None:
            view = await workflow.live(moments, message)
    assert view is not None
    assert view.output is not None
    assert view.row.state is RunState.COMPLETED, view.output.error
    if not uninterrupted:
        async with running(CountedWorkflow(new_database(), fuse).harness()) as calm:
            uninterrupted.update(outcome(await calm.run(message, "r1")))
    assert outcome(view) == uninterrupted
    assert max(workflow.effects.values()) <= 1 + workflow.crashes, "at most what was in flight is done again"
    async with running(workflow.harness()) as harness:
        events = await harness.stored("r1")
    check_each_event_once(events)
    check_calls(events)
    iterations = [event for _, event in events if event.kind is EventKind.LOOP_ITERATION_COMPLETED]
    assert [event.data["should_continue"] for event in iterations] == [True, False]


class Speaker:
    """A generator that is cut off in its first call."""

    def __init__(self) -> None:
        self.calls = 0
        self.has_spoken = asyncio.Event()

    async def speak(self, step_input: StepInput) -> AsyncIterator[str]:
        self.calls += 1
        yield f"call {self.calls} "
        if self.calls == 1:
            self.has_spoken.set()
            await asyncio.Event().wait()
        yield "ends"


async def other(step_input: StepInput) -> AsyncIterator[str]:
    yield "beside"


def visible(events: Sequence[tuple[int, Event]]) -> str:
    """The text of the step ``speak`` that a subscriber displays if it removes what is void."""
    pieces: list[tuple[int, str]] = []
    for index, event in events:
        if event.kind is EventKind.STEP_CONTENT and event.data["step"]["step_name"] == "speak":
            pieces.append((index, event.data["text"]))
        for item in event.data.get("superseded", ()):
            pieces = [piece for piece in pieces if piece[0] < item["from_event_index"]]
    return "".join(text for _, text in pieces)


@pytest.mark.parametrize("is_retry_safe", [True, False])
async def test_the_text_of_a_generator_that_was_cut_off_is_void(engines: Engines, is_retry_safe: bool) -> None:
    speaker = Speaker()
    speak = Step(name="speak", executor=speaker.speak, retry_safe=is_retry_safe)
    flow = Workflow(id="flow", steps=[Parallel(Step(name="other", executor=other), speak, name="both")])

    def is_spoken(event: Event) -> bool:
        return event.kind is EventKind.STEP_CONTENT and event.data["text"].startswith("call 1")

    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.STEP_COMPLETED)
        await first.wait_for_event("r1", is_spoken)
        await first.kill()
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    voided = [item["path"] for _, event in events for item in event.data.get("superseded", ())]
    assert voided == ["s0/b1"], "the text of the branch that had ended stays valid"
    if is_retry_safe:
        assert view.row.state is RunState.COMPLETED
        assert (visible(events), speaker.calls) == ("call 2 ends", 2)
    else:
        assert view.row.state is RunState.PAUSED
        assert (visible(events), speaker.calls) == ("", 1)
