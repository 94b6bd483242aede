"""A workflow of 20 steps that each return a large text, five of them in the iterations of a loop."""

import os
import time

from musterd import Loop, Step, StepInput, Workflow

CHARACTERS = int(os.environ["BENCH_CHARACTERS"])
HANGS = bool(os.environ.get("BENCH_HANGS"))
TEXT = "The quick brown fox jumps over the lazy dog. " * (CHARACTERS // 45 + 1)


def work(step_input: StepInput) -> str:
    before = str(step_input.previous_step_content or step_input.input)
    return f"{len(before)} {TEXT}"[:CHARACTERS]


def last(step_input: StepInput) -> str:
    if HANGS:
        time.sleep(3600)
    return work(step_input)


def step(number: int) -> Step:
    return Step(name=f"step{number}", executor=work, retry_safe=True)


large = Workflow(
    id="large",
    steps=[
        *(step(number) for number in range(10)),
        Loop(name="again", steps=[step(10)], max_iterations=5),
        *(step(number) for number in range(11, 15)),
        Step(name="last", executor=last, retry_safe=True),
    ],
)
