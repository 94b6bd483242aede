"""The workflows of both applications. They are declared in the same words, with the classes of either library."""

from collections.abc import Callable
from typing import Any

IN_A_ROW = ("apples", "pears", "plums")
BRANCHES = tuple(f"branch-{number}" for number in range(10))
FUNCTIONS = 20
ITERATIONS = 5


def work(step_input: Any) -> str:
    """A function step: pass on the content of the step before."""
    return str(step_input.previous_step_content or step_input.input)


def holds(step_input: Any) -> bool:
    return "number" in str(step_input.input)


def select(step_input: Any) -> str:
    return "right" if "number" in str(step_input.input) else "left"


def workflows(library: Any, agent: Callable[[str], Any], **options: Any) -> list[Any]:
    """Return the workflows, made of the classes of `library`.

    :param agent: makes the agent of a name.
    :param options: further options of each workflow.
    """

    def workflow(name: str, steps: list[Any]) -> Any:
        return library.Workflow(id=name, name=name, steps=steps, **options)

    def step(name: str) -> Any:
        return library.Step(name=name, executor=work)

    return [
        workflow("row", [library.Step(name=name, agent=agent(name)) for name in IN_A_ROW]),
        workflow("parallel", [library.Parallel(*[library.Step(name=name, agent=agent(name)) for name in BRANCHES])]),
        workflow(
            "choices",
            [
                library.Condition(name="if", evaluator=holds, steps=[step("then")]),
                library.Router(name="way", selector=select, choices=[step("left"), step("right")]),
                library.Loop(name="again", steps=[step("more")], max_iterations=ITERATIONS),
            ],
        ),
        workflow("functions", [step(f"function-{number}") for number in range(FUNCTIONS)]),
    ]
