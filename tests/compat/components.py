"""What the server of these tests serves: teams and agents of every kind that AgentOS's clients meet."""

from __future__ import annotations

from pathlib import Path
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
    Team,
    ToolContext,
    Workflow,
    WorkflowAgent,
    tool,
)
from musterd.guards import RunInput, RunOutput
from tests.support.tools import Person, boom, get_weather, remember


@tool(requires_confirmation=True)
def send_mail(to: str) -> str:
    """Send a mail, once a person agrees."""
    return f"sent to {to}"


@tool(requires_user_input=True, user_input_fields=["color"])
def paint(thing: str, color: str) -> str:
    """Paint a thing in the color that a person picks."""
    return f"{thing} is {color}"


@tool(external_execution=True)
def browse(url: str) -> str:
    """Open a page in the user's own browser."""
    raise AssertionError("the client opens it")


@tool(requires_confirmation=True)
def delete_file(path: str) -> str:
    """Delete a file, once a person agrees."""
    return f"{path} is gone"


TOOLS = [get_weather, boom, remember, send_mail, paint, browse]
weather = Agent(
    id="weather-agent", name="Weather Agent", role="Reports the weather", tools=[get_weather, boom], model="scripted"
)
solo = Agent(id="solo-agent", name="Solo Agent", description="Works alone", tools=TOOLS, model="scripted")
writer = Agent(id="writer-agent", name="Writer Agent", role="Writes text")
demo = Team(
    id="demo-team",
    name="Demo Team",
    description="A demo team",
    instructions=["Be brief"],
    members=[weather, writer],
    tools=TOOLS,
    model="scripted",
)
person = Team(id="person-team", name="Person Team", members=[writer], model="scripted", output_schema=Person)
state = Team(id="state-team", name="State Team", members=[], model="scripted", session_state={"a": 1}, tools=TOOLS)


@tool
def walk(steps: int, context: ToolContext) -> str:
    """Walk, and tell how far."""
    for step in range(steps):
        context.progress("walking", step=step)
    return f"{steps} steps"


def look_before(run_input: RunInput) -> None:
    """A hook that looks at what is asked."""


def look_after(run_output: RunOutput) -> None:
    """A hook that looks at what is answered."""


busy = Team(
    id="busy-team",
    name="Busy Team",
    members=[writer],
    tools=[walk],
    model="scripted",
    pre_hooks=[look_before],
    post_hooks=[look_after],
    enable_session_summaries=True,
    update_memory_on_run=True,
)

# What the recorded exchanges speak of besides

guarded = Agent(id="guarded-agent", name="Guarded Agent", tools=[delete_file])
asking = Team(id="hitl-leader-team", name="Asking Team", members=[writer], tools=[delete_file], model="scripted")
member_pause_team = Team(id="hitl-member-team", name="Asked Team", members=[guarded], model="scripted")
routed = Agent(id="r-writer-agent", name="r-Writer Agent", role="Writes text")
route = Team(id="route-team", name="Route Team", members=[routed], model="scripted", mode="route")
first, second = (Agent(id=f"b-{n}-agent", name=f"b-{n} Agent", role="Writes text") for n in (1, 2))
broadcast = Team(
    id="broadcast-team", name="Broadcast Team", members=[first, second], model="scripted", mode="broadcast"
)
nested = Agent(id="n-writer-agent", name="n-Writer Agent", role="Writes text")
inner = Team(id="inner-team", name="Inner Team", members=[nested], model="scripted")
outer = Team(id="outer-team", name="Outer Team", members=[inner], model="scripted")
tasks = Team(id="tasks-team", name="Tasks Team", members=[writer], model="scripted", mode="tasks")


@tool
def read_file(path: str) -> str:
    """Read a file. If it is a named pipe, wait until somebody writes."""
    return Path(path).read_text()


reader = Agent(id="reader-agent", name="Reader Agent", role="Reads files", tools=[read_file], model="scripted")
archive = Team(id="archive-team", name="Archive Team", members=[reader], model="scripted")

# Knowledge


def look_up(query: str, filters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """One document for each shelf, or for that of the filter."""
    shelves = [filters["shelf"]] if filters else ["sea", "land"]
    return [{"name": shelf, "content": f"{query} on the {shelf}", "meta_data": {"shelf": shelf}} for shelf in shelves]


librarian = Agent(id="librarian-agent", name="Librarian Agent", model="scripted", knowledge_retriever=look_up)

# Workflows


def up(step_input: StepInput) -> StepOutput:
    """Mark the content of the step before."""
    return StepOutput(content=f"UP({step_input.previous_step_content or step_input.input})")


def never(outputs: list[StepOutput]) -> bool:
    """Go on."""
    return False


def is_rain(step_input: StepInput) -> bool:
    """Whether the message speaks of rain."""
    return "rain" in str(step_input.input)


seq = Workflow(
    id="seq",
    name="Sequence",
    description="One after the other",
    steps=[Step(name="research", agent=solo), Step(name="shout", executor=up), Step(name="crew", team=demo)],
)
front = Workflow(
    id="front",
    name="Front",
    steps=[Step(name="shout", executor=up)],
    agent=WorkflowAgent(model="scripted"),
)
everything = Workflow(
    id="everything",
    name="Everything",
    steps=[
        Parallel(Step(name="p1", agent=solo), Step(name="p2", executor=up), name="both"),
        Condition(name="rainy", evaluator=is_rain, steps=[up], else_steps=[Step(name="sun", agent=solo)]),
        Loop(name="again", steps=[Step(name="l-up", executor=up)], max_iterations=2, end_condition=never),
        Router(name="way", selector=lambda step_input: "r-up", choices=[Step(name="r-up", executor=up)]),
        Steps(name="group", steps=[Step(name="s1", executor=up)]),
    ],
)
