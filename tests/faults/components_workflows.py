"""Workflows whose functions and choices add a line to a file that survives: one with every container, one that asks."""

from collections.abc import Callable, Sequence
from typing import Any

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
    ToolContext,
    Workflow,
    WorkflowAgent,
)
from tests.faults.components import CountingModel, count


def step(name: str, **options: Any) -> Step:
    """A step whose calls are counted under the key of the call; it may be called again."""

    def work(step_input: StepInput, run_context: ToolContext) -> str:
        count(f"step {name} {run_context.idempotency_key}")
        return f"{step_input.previous_step_content or step_input.input}>{name}"

    return Step(name=name, executor=work, retry_safe=True, **options)


def choosing(name: str, answer: object) -> Callable[[StepInput], object]:
    """A choice whose calls are counted."""

    def choose(step_input: StepInput) -> object:
        count(f"choice {name}")
        return answer

    return choose


def is_last(outputs: Sequence[StepOutput]) -> bool:
    """Whether the second iteration has ended."""
    count(f"choice {outputs[-1].content}")
    return str(outputs[-1].content).endswith("more>more")


def fail(step_input: StepInput, run_context: ToolContext) -> str:
    """A step that fails."""
    count(f"step bad {run_context.idempotency_key}")
    raise ValueError("no paper")


writer = Agent(id="writer", model=CountingModel())
flow = Workflow(
    id="flow",
    steps=[
        Condition(name="if", evaluator=choosing("if", True), steps=[step("then")], else_steps=[step("else")]),
        Parallel(step("left"), Step(name="right", agent=writer), name="both"),
        Loop(
            name="again",
            steps=[step("more")],
            max_iterations=5,
            end_condition=is_last,
            forward_iteration_output=True,
        ),
        Router(name="way", selector=choosing("way", "this"), choices=[step("this"), step("that")]),
        Steps(name="group", steps=[step("last"), writer]),
    ],
)
asking = Workflow(
    id="asking",
    steps=[
        Loop(
            name="again",
            steps=[Parallel(step("guarded", requires_confirmation=True), step("free"), name="both")],
            max_iterations=2,
        ),
        step("end"),
    ],
)
guided = Workflow(
    id="guided",
    steps=[step("one"), Step(name="bad", executor=fail, retry_safe=True, max_retries=0), step("two")],
    agent=WorkflowAgent(model=CountingModel()),
)
