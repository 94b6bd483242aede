"""Workflows in workflows, and functions that are whole workflows: over crashes, pauses and failures."""

import asyncio
from typing import Any

import pytest

from musterd import Agent, Parallel, Step, StepInput, StepOutput, Workflow
from musterd.core.errors import StepFailed
from musterd.core.records import RunView
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.engine.test_workflows import Works, content, decide, waiting, workflow
from tests.support.crashes import check_each_event_once
from tests.support.held_model import HeldModel


@pytest.fixture
def works() -> Works:
    return Works()


def nested(*steps: Any) -> Step:
    return Step(name="nested", workflow=Workflow(id="inner", steps=list(steps)), max_retries=0)


def names(view: RunView) -> list[str]:
    assert view.output is not None
    return [step["step_name"] for step in view.output.step_results]


async def test_a_nested_workflow_goes_on_at_its_own_step(engines: Engines, works: Works) -> None:
    inner = nested(works.step("b"), works.step("c", retry_safe=True))
    flow = workflow(works.step("a"), inner, works.step("d"))
    async with engines(workflows=[flow]) as first:
        await works.cut_off(first, "c")
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert content(view) == "go>a>b>c>d"
    assert works.calls == {"a": 1, "b": 1, "c": 2, "d": 1}
    check_each_event_once(events)


async def test_a_question_in_a_workflow_in_a_workflow_is_decided_after_a_restart(
    engines: Engines, works: Works
) -> None:
    inner = nested(
        Step(name="deeper", workflow=Workflow(id="deep", steps=[works.step("b", requires_confirmation=True)]))
    )
    flow = workflow(works.step("a"), Parallel(inner, works.step("c"), name="both"), works.step("d"))
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        (requirement,) = waiting(await first.end_of("r1"))
    assert requirement["step"]["step_name"] == "b"
    async with engines(workflows=[flow]) as second:
        await decide(second, requirement)
        assert content(await second.end_of("r1")) == "go>a>c>d"
    assert works.calls == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_a_nested_failure_can_be_retried_by_a_person(file_engines: Engines, works: Works) -> None:
    inner = Step(
        name="nested",
        workflow=Workflow(id="inner", steps=[works.step("a"), works.step("b", max_retries=0)]),
        max_retries=0,
    )
    asking = Step(name="outer", workflow=workflow_of("middle", inner), max_retries=0, on_error="pause")
    works.fails = {"b"}
    async with file_engines(workflows=[workflow(asking)]) as harness:
        await harness.start("go", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        assert (requirement["step"]["step_name"], requirement["step"]["error_type"]) == ("outer", "step_failed")
        works.fails = set()
        await decide(harness, requirement)
        assert content(await harness.end_of("r1")) == "go>a>b"
    assert works.calls == {"a": 2, "b": 2}, "another try is a run of its own, from its first step"


def workflow_of(workflow_id: str, *steps: Any) -> Workflow:
    return Workflow(id=workflow_id, steps=list(steps))


async def test_nested_workflows_share_the_state_of_the_session(file_engines: Engines) -> None:
    def count(step_input: StepInput, session_state: dict[str, Any]) -> StepOutput:
        session_state["count"] = session_state.get("count", 0) + 1
        return StepOutput(content=f"{session_state['count']}")

    inner = nested(Step(name="one", executor=count), Step(name="two", executor=count))
    flow = workflow(Step(name="before", executor=count), inner, Step(name="after", executor=count))
    async with file_engines(workflows=[flow]) as harness:
        view = await harness.run("go", "r1")
    assert content(view) == "4"
    assert view.output is not None
    assert view.output.session_state == {"count": 4}


async def test_a_function_waits_for_a_person_and_goes_on_after_a_restart(engines: Engines, works: Works) -> None:
    steps = {name: works.step(name).executor for name in ("a", "b", "c")}
    begun = 0

    async def whole(workflow: Any, execution_input: Any) -> str:
        nonlocal begun
        begun += 1
        first = await workflow.step("a", steps["a"])
        guarded = workflow.step("b", steps["b"], first.content, requires_confirmation=True)
        beside = workflow.step("c", steps["c"], first.content)
        results = await asyncio.gather(guarded, beside)
        return " ".join("skipped" if result is None else result.content for result in results)

    flow = Workflow(id="flow", steps=whole)
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        view = await first.end_of("r1")
        (requirement,) = waiting(view)
        assert names(view) == ["a", "c"]
    async with engines(workflows=[flow]) as second:
        await decide(second, requirement)
        assert content(await second.end_of("r1")) == "go>a>b go>a>c"
    assert works.calls == {"a": 1, "b": 1, "c": 1}
    assert begun == 2


@pytest.mark.parametrize("is_asked", [True, False])
async def test_other_branches_of_a_function_go_on_when_one_waits_or_fails(
    file_engines: Engines, works: Works, is_asked: bool
) -> None:
    works.fails = set() if is_asked else {"a"}
    steps = {name: works.step(name).executor for name in ("a", "c")}
    is_left = asyncio.Event()

    async def slow(step_input: StepInput) -> str:
        await is_left.wait()
        return "slow"

    async def whole(workflow: Any, execution_input: Any) -> None:
        async def goes_on() -> None:
            await workflow.step("b", slow)
            await workflow.step("c", steps["c"])

        try:
            await asyncio.gather(workflow.step("a", steps["a"], requires_confirmation=is_asked), goes_on())
        finally:
            is_left.set()

    async with file_engines(workflows=[Workflow(id="flow", steps=whole)]) as harness:
        await harness.start("go", "r1")
        view = await harness.end_of("r1")
    assert names(view) == ["b", "c"]
    if is_asked:
        assert len(waiting(view)) == 1
    else:
        assert view.output is not None
        assert view.output.error is not None
        assert "a is down" in view.output.error["message"]


async def test_a_function_may_handle_the_failure_of_a_step(
    file_engines: Engines, works: Works, model: HeldModel
) -> None:
    works.fails = {"a"}
    failing = works.step("a").executor
    inner = Workflow(id="inner", steps=[Agent(id="writer", model=model)])

    async def whole(workflow: Any, execution_input: Any) -> str:
        try:
            await workflow.step("a", failing, max_retries=1)
        except StepFailed as failure:
            return str((await workflow.step("explain", inner, str(failure))).content)
        return "unreachable"

    async with file_engines(workflows=[Workflow(id="flow", steps=whole)]) as harness:
        view = await harness.run("go", "r1")
    assert content(view) == "Echo: Step 'a' failed: a is down"
    assert (names(view), works.calls["a"]) == (["explain"], 2)


async def test_a_function_that_calls_other_steps_after_a_deploy_ends_the_run(
    file_engines: Engines, works: Works
) -> None:
    steps = {name: works.step(name).executor for name in ("a", "b", "c")}

    def flow(*order: str) -> Workflow:
        async def whole(workflow: Any, execution_input: Any) -> str:
            outputs = [await workflow.step(name, steps[name], retry_safe=True) for name in order]
            return str(outputs[-1].content)

        return Workflow(id="flow", steps=whole)

    async with file_engines(workflows=[flow("a", "b")]) as first:
        await works.cut_off(first, "b")
    async with file_engines(workflows=[flow("c", "b")]) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.ERROR
    assert view.output is not None
    assert view.output.error is not None
    assert view.output.error["code"] == "replay_diverged"
    assert "'a'" in view.output.error["message"]
    assert works.calls == {"a": 1, "b": 1}


async def test_a_cancel_ends_all_steps_of_a_function(file_engines: Engines, works: Works) -> None:
    steps = {name: works.step(name).executor for name in ("a", "b", "c")}

    async def whole(workflow: Any, execution_input: Any) -> None:
        await workflow.step("a", steps["a"])
        await asyncio.gather(workflow.step("b", steps["b"]), workflow.step("c", steps["c"]))

    async with file_engines(workflows=[Workflow(id="flow", steps=whole)]) as harness:
        works.hangs = {"b"}
        await harness.start("go", "r1")
        await works.has_hung.wait()
        await harness.cancel("r1")
        view = await harness.end_of("r1")
    assert view.row.state is RunState.CANCELLED
    assert names(view)[0] == "a"


async def test_a_step_whose_run_is_refused_begins_none(file_engines: Engines, works: Works, model: HeldModel) -> None:
    schema = {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}
    strict = Agent(id="writer", model=model, input_schema=schema)
    refused = Step(name="tell", agent=strict, strict_input_validation=True, on_error="skip")
    async with file_engines(workflows=[workflow(refused, works.step("a", requires_confirmation=True))]) as harness:
        await harness.start("no JSON", "r1")
        waiting(await harness.end_of("r1"))
        assert await harness.members("r1") == []
