"""Executors of other kinds: a generator and an object; the history of the session; a step that fails."""

from collections.abc import Iterator
from typing import Any

from musterd import Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow

MESSAGES = ["fractions", "decimals", "roots"]


def tell(step_input: StepInput) -> Iterator[Any]:
    """Yield texts, and at last a result."""
    yield "First, "
    yield "second."
    yield StepOutput(content=f"told about {step_input.input}")


class Examples:
    """An object that is called as a step."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, step_input: StepInput) -> StepOutput:
        """Give examples."""
        return StepOutput(content=", ".join(f"{step_input.input} {index}" for index in range(self.number)))


def recall(step_input: StepInput) -> StepOutput:
    """Say what was learned before."""
    history = step_input.get_workflow_history(num_runs=1)
    return StepOutput(
        content=f"before: {[question for question, _ in history]}, {len(step_input.get_workflow_history())}"
    )


def grade(step_input: StepInput) -> StepOutput:
    """Fail once for all."""
    raise ValueError("the pen is empty")


def report(step_input: StepInput) -> StepOutput:
    """Say what the steps before had."""
    examples = step_input.get_step_content("examples")
    return StepOutput(
        content=f"{examples} / {step_input.get_last_step_content()} / {step_input.get_step_content('again')}"
    )


def choose(step_input: StepInput, step_choices: list[Any]) -> Any:
    """Return a name."""
    return "told" if "roots" not in step_input.input else "again"


workflow = Workflow(
    name="Lessons",
    steps=[
        recall,
        Steps(
            name="lesson",
            steps=[
                Router(
                    name="way",
                    selector=choose,
                    choices=[
                        Step(name="told", executor=tell),
                        Loop(name="again", steps=[Step(name="tell", executor=tell)], max_iterations=2),
                    ],
                ),
                Parallel(
                    Step(name="examples", executor=Examples(2)), Step(name="recall", executor=recall), name="side"
                ),
            ],
        ),
        Step(name="grade", executor=grade, max_retries=0, on_error="skip"),
        Step(name="report", executor=report),
    ],
)
