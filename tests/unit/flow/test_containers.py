"""Containers of a workflow: which steps they run, with what, and what their results say."""

from collections.abc import Sequence
from typing import Any

import pytest

from musterd import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow
from musterd.core.errors import RunFailed, StepFailed
from musterd.core.events import EventKind
from musterd.core.step_contents import AT
from tests.support.flow import FlowHarness


def shout(step_input: StepInput) -> str:
    return f"UP({step_input.previous_step_content or step_input.input})"


def plain(step_input: StepInput) -> str:
    return "plain"


def fail(step_input: StepInput) -> str:
    raise ValueError("bad")


async def run(*steps: Any, message: str = "hello") -> FlowHarness:
    flow = FlowHarness(Workflow(id="w", steps=list(steps)), message)
    flow.output = await flow.drive()  # type: ignore[attr-defined]
    return flow


async def test_evaluators_and_selectors_get_the_text_of_the_container_before_them() -> None:
    seen: list[Any] = []

    def holds(step_input: StepInput) -> bool:
        seen.append(step_input.previous_step_content)
        return True

    def choose(step_input: StepInput) -> str:
        seen.append(step_input.previous_step_content)
        return "plain"

    await run(
        Step(name="first", executor=shout),
        Condition(name="after a step", evaluator=holds, steps=[shout]),
        Loop(name="loop", steps=[shout], max_iterations=1),
        Condition(name="after a loop", evaluator=holds, steps=[shout]),
        Parallel(Step(name="left", executor=shout), Step(name="right", executor=plain), name="both"),
        Router(name="after a parallel", selector=choose, choices=[Step(name="plain", executor=plain)]),
    )
    assert seen[:2] == ["UP(hello)", "Loop loop completed 1 iterations with 1 total steps"]
    assert "UP(UP(UP(UP(hello))))" in seen[2], "the content of each branch"
    assert "plain" in seen[2]


@pytest.mark.parametrize(
    ("message", "text", "content"),
    [
        ("rain", "Condition rainy completed with 1 results (if branch)", "UP(rain)"),
        ("sun", "Condition rainy completed with 1 results (else branch)", "plain"),
    ],
)
async def test_a_condition_runs_one_of_its_lists(message: str, text: str, content: str) -> None:
    condition = Condition(
        name="rainy",
        evaluator=lambda step_input: "rain" in step_input.input,
        steps=[Step(name="umbrella", executor=shout)],
        else_steps=[Step(name="hat", executor=plain)],
    )
    flow = await run(condition, message=message)
    assert flow.step_results[0]["content"] == text
    assert flow.walk.progress.output.content == content


async def test_a_condition_that_does_not_hold_leaves_the_content_as_it_was() -> None:
    flow = await run(shout, Condition(name="c", evaluator=False, steps=[plain]), Step(name="next", executor=shout))
    assert flow.step_results[1]["content"] == "Condition c not met - skipped 1 steps"
    assert flow.step_results[2]["content"] == "UP(UP(hello))"
    (completed,) = flow.data(EventKind.CONDITION_COMPLETED)
    assert (completed["condition_result"], completed["branch"], completed["outputs"]) == (False, None, [])


async def test_the_iterations_of_a_loop_start_from_what_stood_before_it() -> None:
    flow = await run(Loop(name="again", steps=[Step(name="up", executor=shout), plain], max_iterations=3))
    assert flow.step_results[0]["content"] == "Loop again completed 3 iterations with 6 total steps"
    assert [step["content"] for step in flow.step_results[0]["steps"]] == ["UP(hello)", "plain"] * 3
    assert [data["iteration"] for data in flow.data(EventKind.LOOP_ITERATION_STARTED)] == [1, 2, 3]


async def test_a_loop_can_pass_an_iteration_on_to_the_next() -> None:
    loop = Loop(steps=[Step(name="up", executor=shout)], max_iterations=2, forward_iteration_output=True)
    assert (await run(loop)).walk.progress.output.content == "UP(UP(hello))"


async def test_a_loop_ends_when_its_condition_holds() -> None:
    def has_two(outputs: Sequence[StepOutput]) -> bool:
        return str(outputs[-1].content).count("UP") == 2

    loop = Loop(
        steps=[Step(name="up", executor=shout)], max_iterations=9, end_condition=has_two, forward_iteration_output=True
    )
    flow = await run(loop)
    iterations = flow.data(EventKind.LOOP_ITERATION_COMPLETED)
    assert [data["should_continue"] for data in iterations] == [True, False]


async def test_a_stop_in_a_loop_ends_the_workflow() -> None:
    def stop(step_input: StepInput) -> StepOutput:
        return StepOutput(content="enough", stop=True)

    flow = await run(Loop(name="again", steps=[stop]), shout)
    assert [step["step_name"] for step in flow.step_results] == ["again"]
    assert flow.step_results[0]["stop"] is True


@pytest.mark.parametrize("selected", ["r2", ["r2"], "object"])
async def test_a_router_runs_what_its_selector_names(selected: Any) -> None:
    choices = [Step(name="r1", executor=shout), Step(name="r2", executor=plain)]
    answer = choices[1] if selected == "object" else selected
    flow = await run(Router(name="way", selector=lambda step_input: answer, choices=choices))
    assert flow.walk.progress.output.content == "plain"
    assert flow.step_results[0]["content"] == "Router way completed with 1 results"
    assert flow.data(EventKind.ROUTER_STARTED)[0]["selected_steps"] == ["r2"]


async def test_a_selector_can_return_one_of_the_steps_that_it_gets() -> None:
    def second(step_input: StepInput, step_choices: list[Step]) -> Step:
        return next(step for step in step_choices if step.name == "r2")

    choices = [Step(name="r1", executor=shout), Step(name="r2", executor=plain)]
    flow = await run(Router(name="way", selector=second, choices=choices))
    assert flow.walk.progress.output.content == "plain"


async def test_a_router_without_a_valid_choice_fails_in_words() -> None:
    router = Router(name="way", selector=lambda step_input: "r3", choices=[Step(name="r1", executor=shout)])
    with pytest.raises(RunFailed, match="Router 'way' could not choose: it selected 'r3', which is not one of r1"):
        await run(router)


async def test_an_evaluator_that_fails_ends_the_run_in_words() -> None:
    with pytest.raises(RunFailed, match="Condition 'c' could not choose: bad"):
        await run(Condition(name="c", evaluator=fail, steps=[shout]))


async def test_branches_get_the_same_and_their_state_is_merged_key_by_key() -> None:
    def note(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state[step_input.input + str(len(session_state))] = 1
        return shout(step_input)

    def other(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state["other"] = 1
        return plain(step_input)

    flow = await run(Parallel("both", Step(name="a", executor=note), Step(name="b", executor=other)))
    text = "## Parallel Execution Results\n\n### ✅ SUCCESS: a\nUP(hello)\n\n### ✅ SUCCESS: b\nplain"
    assert flow.step_results[0]["content"] == text
    assert (flow.step_results[0]["executor_type"], flow.step_results[0]["executor_name"]) == ("parallel", "both")
    assert flow.state == {"hello0": 1, "other": 1}


async def test_a_failed_branch_lets_the_others_finish_before_the_run_fails() -> None:
    done: list[str] = []

    def note(step_input: StepInput) -> str:
        done.append("a")
        return "a"

    with pytest.raises(StepFailed) as failure:
        await run(Parallel(Step(name="bad", executor=fail, max_retries=0), Step(name="good", executor=note)))
    assert (done, failure.value.paths) == (["a"], ["s0/b0"])


async def test_a_skipped_branch_is_named_in_the_result() -> None:
    bad = Step(name="bad", executor=fail, max_retries=0, on_error="skip")
    flow = await run(Parallel(bad, Step(name="good", executor=plain)))
    assert "### ❌ FAILURE: bad\nStep bad failed: bad" in flow.step_results[0]["content"]
    assert flow.step_results[0]["steps"][0]["step_id"] is not None


async def test_containers_nest_and_their_events_close_in_mirror_order() -> None:
    inner = Parallel("pp", Loop(name="lp", steps=[Step(name="x", executor=shout)], max_iterations=1))
    flow = await run(Steps(name="outer", steps=[Condition(name="c", evaluator=True, steps=[inner])]))
    assert flow.kinds() == [
        "steps_started outer",
        "condition_started c",
        "parallel_started pp",
        "loop_started lp",
        "loop_iteration_started lp",
        "step_started x",
        "step_completed x",
        "loop_iteration_completed lp",
        "loop_completed lp",
        "parallel_completed pp",
        "condition_completed c",
        "steps_completed outer",
    ]
    (step,) = flow.data(EventKind.STEP_STARTED)
    (loop,) = flow.data(EventKind.LOOP_STARTED)
    assert step["step"]["parent_step_id"] == loop["step"]["step_id"]
    assert flow.walk.progress.output.content == "UP(hello)"


async def test_large_contents_are_cut_in_the_results_of_containers_only() -> None:
    def long(step_input: StepInput) -> str:
        return "x" * 150_000

    flow = await run(Steps(name="group", steps=[Step(name="a", executor=long), Step(name="b", executor=long)]))
    of_steps = [data["output"][AT] for data in flow.data(EventKind.STEP_COMPLETED)]
    assert of_steps == [{"path": f"s0/s{number}", "characters": 150_000} for number in range(2)]
    assert [step[AT] for step in flow.step_results[0]["steps"]] == [{**at, "cut_to": 100_000} for at in of_steps]
    assert len(flow.walk.progress.output.content) == 150_000


async def test_large_contents_are_cut_in_the_event_of_a_whole_loop() -> None:
    def long(step_input: StepInput) -> str:
        return "x" * 50_000

    flow = await run(Loop(name="again", steps=[Step(name="a", executor=long)], max_iterations=40))
    (event,) = flow.data(EventKind.LOOP_COMPLETED)
    assert [[step[AT]["cut_to"] for step in iteration] for iteration in event["outputs"]] == [[5000]] * 40


async def test_large_errors_are_cut_in_the_results_of_containers() -> None:
    def fail(step_input: StepInput) -> str:
        raise ValueError("x" * 300_000)

    bad = Step(name="bad", executor=fail, max_retries=0, on_error="skip")
    flow = await run(Loop(name="again", steps=[bad], max_iterations=4))
    (event,) = flow.data(EventKind.LOOP_COMPLETED)
    for (step,) in [*event["outputs"], *([step] for step in flow.step_results[0]["steps"])]:
        assert (len(step["error"]), len(step["content"])) == (50_001, 50_001)


async def test_the_initial_state_of_a_nested_workflow_is_merged() -> None:
    def add(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state["n"] += 1
        return f"{session_state['n']} {session_state['k']}"

    inner = Workflow(id="inner", steps=[Step(name="add", executor=add)], session_state={"n": 10, "k": "own"})
    nested = [Step(name="once", workflow=inner), Step(name="again", workflow=inner)]
    flow = FlowHarness(Workflow(id="w", steps=nested, session_state={"k": "outer"}))
    assert (await flow.drive()).content == "12 outer"
    assert flow.state == {"k": "outer", "n": 12}


async def test_a_nested_workflow_is_a_run_of_its_own() -> None:
    inner = Workflow(id="inner", steps=[Step(name="up", executor=shout)])
    flow = await run(Step(name="nested", workflow=inner), plain)
    assert [(start.component_kind, start.path) for start in flow.steps.started] == [("workflow", "s0")]
    assert flow.step_results[0]["content"] == "UP(hello)"
    assert flow.step_results[0]["executor_type"] == "workflow"
