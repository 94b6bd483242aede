"""The agent of a workflow over crashes, pauses and failures: neither it nor its steps are repeated."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, Step, StepInput, StepOutput, ToolContext, Workflow, WorkflowAgent
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.support.crashes import CountedModel, Fuse, check_calls, check_each_event_once, end_before_death
from tests.support.engine import NOBODY, EngineHarness, harness_on, running
from tests.support.held_model import HeldModel

MESSAGE = '[[TOOL run_workflow {"query": "tea"}]]'


class CountedSteps:
    """A workflow with an agent, of which every call is counted."""

    def __init__(self, model: Any, fuse: Fuse | None = None, **options: Any) -> None:
        self.model, self.fuse = model, fuse or Fuse()
        self.calls: Counter[str] = Counter()
        self.fails: set[str] = set()
        self.workflow = Workflow(
            id="flow",
            steps=[self._step("one"), Agent(id="writer", model=model), self._step("two", **options)],
            agent=WorkflowAgent(model=model),
        )

    def _step(self, name: str, **options: Any) -> Step:
        async def work(step_input: StepInput, run_context: ToolContext) -> StepOutput:
            self.calls[name] += 1
            await self.fuse.tick()
            if name in self.fails:
                raise ValueError(f"{name} is down")
            run_context.session_state[name] = run_context.session_state.get(name, 0) + 1
            return StepOutput(content=f"{step_input.previous_step_content or step_input.input}+{name}")

        return Step(name=name, executor=work, retry_safe=True, max_retries=0, **options)


def check_end(view: RunView) -> None:
    """The run has come to the same, whatever happened on the way."""
    output = view.output
    assert output is not None
    assert view.row.state is RunState.COMPLETED, output.error
    assert output.content == "Echo: tea+one+two"
    assert [step["step_name"] for step in output.step_results] == ["one", "writer", "two"]
    assert output.session_state == {"one": 1, "two": 1}
    assert not output.is_agent_answer


@pytest.mark.timeout(600)  # one process for each moment
async def test_neither_the_agent_nor_its_steps_are_repeated_after_a_kill(
    new_database: Callable[[], str], fuse: Fuse
) -> None:
    moments, has_died = 0, True
    while has_died:
        steps = CountedSteps(CountedModel(fuse), fuse)
        url, view = new_database(), None
        async with running(harness_on(url, workflows=[steps.workflow], delta_seconds=0)) as first:
            fuse.between = first.stored_so_far
            fuse.arm(moments)
            await first.start(MESSAGE, "r1")
            view = await end_before_death(fuse, first)
            rows = await first.records.select("SELECT path, kind FROM journal WHERE result IS NOT NULL")
            calls = {row["path"] for row in rows}
        has_died, before = view is None, (Counter(steps.model.calls), Counter(steps.calls))
        async with running(harness_on(url, workflows=[steps.workflow], delta_seconds=0)) as second:
            view = await second.end_of("r1")
            events = await second.stored("r1")
        check_end(view)
        check_each_event_once(events)
        check_calls(events)
        repeated = steps.model.calls - before[0]
        assert not ("a/t0/m" in calls and repeated[f"{MESSAGE} #0"]), moments
        assert not ("s1/t0/m" in calls and repeated["tea+one #0"]), moments
        assert not ("s0" in calls and (steps.calls - before[1])["one"]), moments
        assert not ("s2" in calls and (steps.calls - before[1])["two"]), moments
        assert sum(steps.model.calls.values()) <= 3 + 1, "at most what was in flight is done again"
        moments += 4
    assert moments > 30, "the run was killed at each of them"


async def test_a_question_of_a_step_waits_over_a_restart(engines: Engines, model: HeldModel) -> None:
    steps = CountedSteps(model, requires_confirmation=True)
    async with engines(workflows=[steps.workflow]) as first:
        paused = await first.run(MESSAGE, "r1")
        assert paused.row.state is RunState.PAUSED
        assert paused.output is not None
        (requirement,) = paused.output.requirements
        assert requirement["step"]["step_name"] == "two"
        assert [step["step_name"] for step in paused.output.step_results] == ["one", "writer"]
    async with engines(workflows=[steps.workflow]) as second:
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN)
        await second.runs.decide(RunRef(second.component(), "r1", None, NOBODY), [decision])
        check_end(await second.end_of("r1"))
        events = await second.stored("r1")
    assert steps.calls == {"one": 1, "two": 1}
    assert len(model.calls) == 3  # the agent's decision, the writer, the agent's answer
    check_each_event_once(events)


async def test_a_failed_run_continues_at_the_step_that_failed(engines: Engines, model: HeldModel) -> None:
    steps = CountedSteps(model)
    steps.fails = {"two"}
    async with engines(workflows=[steps.workflow]) as harness:
        failed = await harness.run(MESSAGE, "r1")
        assert failed.row.state is RunState.ERROR
        assert failed.output is not None
        assert failed.output.error is not None
        assert (failed.output.error["code"], failed.output.error["failed_steps"]) == ("step_failed", ["s2"])
        steps.fails = set()
        await fork(harness, ForkRequest(run_id="r2"))
        check_end(await harness.end_of("r2"))
    assert steps.calls == {"one": 1, "two": 2}
    assert len(model.calls) == 3


async def test_a_fork_from_a_step_keeps_the_agents_decision(file_engines: Engines, model: HeldModel) -> None:
    steps = CountedSteps(model)
    async with file_engines(workflows=[steps.workflow]) as harness:
        await harness.run(MESSAGE, "r1")
        await fork(harness, ForkRequest(run_id="r2", from_step="s2"))
        check_end(await harness.end_of("r2"))
        events = [event.kind for _, event in await harness.stored("r2")]
    assert steps.calls == {"one": 1, "two": 2}
    assert len(model.calls) == 3 + 1, "only the agent's answer is made again"
    assert events.count(EventKind.WORKFLOW_CALLED) == 1


async def test_a_person_who_cancels_the_agent_cancels_the_run(file_engines: Engines, model: HeldModel) -> None:
    steps = CountedSteps(model)
    hold = model.hold("wait")
    async with file_engines(workflows=[steps.workflow]) as harness:
        await harness.start("wait", "r1")
        await hold.reached.wait()
        (agent,) = await harness.members("r1")
        await harness.runs.steering.cancel_member(agent.row, "somebody", None)
        view = await harness.end_of("r1")
    assert view.row.state is RunState.CANCELLED
    assert view.output is not None
    assert view.output.content == "Workflow agent was cancelled by a person."


async def test_a_person_who_cancels_the_agent_while_a_step_waits_cancels_the_run(
    engines: Engines, model: HeldModel
) -> None:
    steps = CountedSteps(model, requires_confirmation=True)
    async with engines(workflows=[steps.workflow]) as harness:
        paused = await harness.run(MESSAGE, "r1")
        assert paused.row.state is RunState.PAUSED
        members = {member.row.path: member.row for member in await harness.members("r1")}
        await harness.runs.steering.cancel_member(members["a"], "somebody", None)
        view = await harness.end_of("r1")
        pending = await harness.records.select("SELECT path FROM approvals WHERE state = 'pending'")
    assert view.row.state is RunState.CANCELLED
    assert view.output is not None
    assert view.output.content == "Workflow agent was cancelled by a person."
    assert [step["step_name"] for step in view.output.step_results] == ["one", "writer"]
    assert (steps.calls, pending) == ({"one": 1}, []), "the step that waited is not made, and nobody is asked any more"


async def fork(harness: EngineHarness, request: ForkRequest) -> None:
    origin = await harness.runs.view(RunRef(harness.component(), "r1", None, NOBODY))
    await harness.server.forks.start(harness.component(), origin, request, NOBODY)
