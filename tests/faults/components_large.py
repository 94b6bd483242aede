"""A workflow whose steps return large texts; the calls add a line to a file that survives."""

from musterd import Loop, Parallel, Step, StepInput, ToolContext, Workflow
from tests.faults.components import count

LARGE = 6_000


def work(step_input: StepInput, run_context: ToolContext) -> str:
    count(f"step {run_context.idempotency_key}")
    before = str(step_input.previous_step_content or step_input.input).rstrip(".")
    return f"{before}>".ljust(LARGE, ".")


def step(name: str) -> Step:
    """A step that adds to the content of the step before; it may be called again."""
    return Step(name=name, executor=work, retry_safe=True)


flow = Workflow(
    id="flow",
    steps=[
        step("first"),
        Loop(name="again", steps=[step("more")], max_iterations=2, forward_iteration_output=True),
        Parallel(step("left"), step("right"), name="both"),
        step("last"),
    ],
)
