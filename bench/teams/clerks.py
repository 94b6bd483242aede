"""A team whose member needs an approval before each call."""

import os
import time
from pathlib import Path

from musterd import Agent, Team, tool

NOTES = os.environ.get("BENCH_NOTES")
MODEL = "openai-chat:fake-model"


@tool(requires_confirmation=True)
def stamp(text: str) -> str:
    """Stamp a text.

    Args:
        text: What is stamped.
    """
    if NOTES:
        with Path(NOTES).open("a") as file:  # a line is written at once
            file.write(f"{time.perf_counter()} {text}\n")
    return f"stamped {text}"


clerk = Agent(id="clerk", name="Clerk", role="Stamps", model=MODEL, tools=[stamp])
clerks = Team(id="clerks", name="Clerks", model=MODEL, members=[clerk])
