"""The application of the recovery benchmarks: a team whose model calls and tool calls the benchmark can observe."""

import os
import time
from pathlib import Path

from musterd import Agent, Team, tool

NOTES = os.environ.get("BENCH_NOTES")
MODEL = os.environ.get("BENCH_MODEL", "openai-chat:fake-model")


@tool(retry_safe=True)
def note(text: str) -> str:
    """Note a text.

    Args:
        text: What is noted.
    """
    if NOTES:
        with Path(NOTES).open("a") as file:  # a line is written at once, and outlives the process
            file.write(f"{time.perf_counter()} {text}\n")
    return f"noted {text}"


clerk = Agent(id="clerk", name="Clerk", role="Takes notes", model=MODEL, tools=[note])
team = Team(id="demo-team", name="Demo Team", model=MODEL, members=[clerk], tools=[note], instructions=["Be brief"])
