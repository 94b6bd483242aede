"""A workflow whose steps note when they begin: in a row, in a loop and in parallel branches."""

import os
import time
from pathlib import Path

from musterd import Loop, Parallel, Step, StepInput, ToolContext, Workflow

NOTES = os.environ["BENCH_NOTES"]
STEP_SECONDS = 0.1


def work(step_input: StepInput, run_context: ToolContext) -> str:
    with Path(NOTES).open("a") as file:  # a line is written at once, and outlives the process
        file.write(f"{time.perf_counter()} {run_context.root_run_id} {run_context.idempotency_key}\n")
    time.sleep(STEP_SECONDS)
    return str(step_input.input)


def step(name: str) -> Step:
    return Step(name=name, executor=work, retry_safe=True)


line = Workflow(
    id="line",
    steps=[
        step("first"),
        Loop(name="again", steps=[step("more")], max_iterations=2),
        Parallel("both", step("left"), step("right")),
        step("last"),
    ],
)
