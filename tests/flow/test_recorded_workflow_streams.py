"""Streams of workflows beside those that AgentOS 2.5.6 was recorded to send: every difference is listed here.

``recorded_workflow_streams.json`` has the events of each stream in order: the name, the name of the step, and the index
of the fields in ``keys`` (null: not recorded completely). Runs of deltas count as one.
"""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient
from tests.support.workflows import workflow_sample, workflow_with_agent

RECORDING: Any = json.loads(Path(__file__).with_name("recorded_workflow_streams.json").read_text(encoding="utf-8"))
AGENT_RUN = ("RunStarted", "ModelRequestStarted", "RunContent", "ModelRequestCompleted", "RunContentCompleted")
DIFFERENCES: dict[str, tuple[str, ...]] = {
    # Over HTTP the peer's copy of a workflow has no else_steps: nothing ran in its place.
    "cond": tuple(f"+ {name}" for name in ("StepStarted", *AGENT_RUN, "RunCompleted", "StepCompleted")),
    # A step that stops the workflow is completed too.
    "early": ("+ StepCompleted",),
    # What the generator yields is sent while it goes on.
    "gen": ("+ RunContent",),
    # Every failed try is sent, and a step that is skipped is completed.
    "fail-skip": ("+ StepError", "+ StepError", "+ StepCompleted"),
    "fail-out": ("+ StepError",),
    # The run of the workflow's agent has the events of every run. The peer sends its deltas only.
    "wagent": (
        *("+ RunStarted", "+ ModelRequestStarted"),
        *("+ ModelRequestCompleted", "+ RunContentCompleted", "+ RunCompleted"),
    ),
    # The same; in addition, the run of the workflow ends after its agent.
    "wagent-call": (
        *("- RunContent", "+ RunStarted", "+ ModelRequestStarted", "+ ModelRequestCompleted", "+ ToolCallStarted"),
        *("+ ToolCallCompleted", "+ ModelRequestStarted", "+ RunContent", "+ ModelRequestCompleted"),
        *("+ RunContentCompleted", "+ RunCompleted", "+ WorkflowAgentCompleted", "- WorkflowAgentCompleted"),
    ),
}
MORE_FIELDS = {
    "StepOutput": {"step_id", "step_name"},
    "ConditionExecutionCompleted": {"branch"},
    "WorkflowAgentStarted": {"run_id"},
}
"""Fields of events that the peer does not send."""
OURS = {"nested_depth", "at", "event_index", "session_state"}
OF_WORKFLOWS = ("workflow", "step", "parent_step")
"""How the fields begin that the run of a step has in addition to those of other runs."""
STREAMS = [pytest.param(stream, id=stream["name"]) for stream in RECORDING["streams"]]


@pytest.fixture
async def client(serve: Serve) -> Any:
    """The recorded workflows."""
    model = HeldModel()
    sample = workflow_sample(model)
    sample.workflows.append(workflow_with_agent(model))
    async with serve(served=sample, model=model) as serving:
        yield serving


def order_of(events: list[tuple[str, str | None]]) -> list[str]:
    """The names of events; consecutive deltas count as one. If steps run side by side, those of one step together."""
    if any(name == "ParallelExecutionStarted" for name, _ in events):
        events = sorted(events, key=lambda event: event[1] or "")
    names: list[str] = []
    for name, _ in events:
        if not (names and names[-1] == name and name.endswith("RunContent")):
            names.append(name)
    return names


@pytest.mark.parametrize("recorded", STREAMS)
async def test_the_order_of_events(client: ServerClient, recorded: dict[str, Any]) -> None:
    stream = await client.stream(recorded["message"], to=f"workflows/{recorded['workflow']}")
    theirs = order_of([(name, step) for name, step, _ in recorded["events"]])
    ours = order_of([(event["event"], event.get("step_name")) for event in stream.events])
    differences = [line for line in difflib.ndiff(theirs, ours) if line[0] in "+-"]
    assert differences == list(DIFFERENCES.get(recorded["name"], ())), ours


@pytest.mark.parametrize("recorded", STREAMS)
async def test_the_fields_of_events(client: ServerClient, recorded: dict[str, Any]) -> None:
    stream = await client.stream(recorded["message"], to=f"workflows/{recorded['workflow']}")
    fields = {
        (name, step): set(RECORDING["keys"][keys].split())
        for name, step, keys in recorded["events"]
        if keys is not None
    }
    compared = 0
    for event in stream.events:
        name = event["event"]
        expected, actual = fields.get((name, event.get("step_name"))), set(event) - OURS
        if expected is None:
            continue
        if "workflow_name" not in expected:  # the run of a step: what all runs have is compared elsewhere
            expected, actual = ({key for key in keys if key.startswith(OF_WORKFLOWS)} for keys in (expected, actual))
        assert actual == expected | MORE_FIELDS.get(name, set()), name
        compared += 1
    assert compared >= 2
