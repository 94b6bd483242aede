"""The agent of a workflow over HTTP: events, answers and what later runs know."""

from typing import Any

import pytest

from musterd import Agent, Step, Workflow, WorkflowAgent
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient
from tests.support.workflows import gen, up, workflow_with_agent

RUN = "workflows/wagent"
CALL = '[[TOOL run_workflow {"query":"go"}]]'
ASKED = ("RunStarted", "ModelRequestStarted")
SPOKEN = ("RunContent", "ModelRequestCompleted", "RunContentCompleted", "RunCompleted")


@pytest.fixture
async def client(serve: Serve) -> Any:
    """The recorded workflow with an agent, and one with an agent in a step."""
    model = HeldModel()
    front = WorkflowAgent(model=model, num_history_runs=3)
    wagent = workflow_with_agent(model)
    sure = Step(name="sure", executor=up, requires_confirmation=True)
    confirmed = Workflow(id="confirmed", steps=[Step(name="u", executor=up), sure], agent=front)
    written = Workflow(id="written", steps=[Agent(id="writer", model=model)], agent=front)
    async with serve(served=Sample([], [], [wagent, confirmed, written]), model=model) as serving:
        yield serving


async def test_an_agent_answers_or_runs_the_workflow(client: ServerClient) -> None:
    direct = await client.run("hello", to=RUN)
    called = await client.run(CALL, to=RUN)
    assert (direct["content"], direct["step_results"]) == ("Echo: hello", [])
    assert (called["content"], called["step_results"][0]["content"]) == ("UP(go)", "UP(go)")
    for run, answer in ((direct, "Echo: hello"), (called, "Done: UP(go)")):
        agent_run = run["workflow_agent_run"]
        assert (agent_run["content"], agent_run["parent_run_id"]) == (answer, run["run_id"])
        assert "step_executor_runs" not in run
    assert (await client.get("/workflows/wagent"))["workflow_agent"] is True


async def test_the_events_of_a_direct_answer(client: ServerClient) -> None:
    stream = await client.stream("hello", to=RUN)
    assert tuple(stream.names) == (
        *("WorkflowAgentStarted", *ASKED, *SPOKEN),
        *("WorkflowAgentCompleted", "WorkflowCompleted"),
    )
    assert {event["workflow_agent"] for event in stream.all("RunContent")} == {True}
    assert stream.text("RunContent") == stream.one("WorkflowAgentCompleted")["content"] == "Echo: hello"
    end = stream.one("WorkflowCompleted")
    assert (end["content"], end["metadata"]) == ("Echo: hello", {"agent_direct_response": True})


async def test_the_events_of_a_call(client: ServerClient) -> None:
    stream = await client.stream(CALL, to=RUN, session_id="s1")
    assert tuple(stream.names) == (
        *("WorkflowAgentStarted", *ASKED, "ModelRequestCompleted", "ToolCallStarted"),
        *("WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted"),
        *("ToolCallCompleted", "ModelRequestStarted", *SPOKEN),
        *("WorkflowAgentCompleted", "WorkflowCompleted"),
    )
    run_id = stream.one("WorkflowAgentStarted")["run_id"]
    assert stream.one("WorkflowAgentCompleted")["content"] == "Done: UP(go)"
    assert "metadata" not in stream.one("WorkflowCompleted")
    page = await client.get(f"/{RUN}/runs/{run_id}/events", session_id="s1")
    assert page["events"] == stream.events


async def test_only_the_text_of_the_agent_is_marked_as_its_own(client: ServerClient) -> None:
    stream = await client.stream(CALL, to="workflows/written")
    texts = [(event["agent_id"], event["workflow_agent"]) for event in stream.all("RunContent")]
    assert set(texts) == {("writer", False), ("written-workflow-agent", True)}


async def test_content_only(client: ServerClient) -> None:
    stream = await client.stream(CALL, to=RUN, stream_events="false")
    assert tuple(stream.names) == (
        *("WorkflowAgentStarted", "WorkflowStarted", "StepOutput", "RunContent"),
        *("WorkflowAgentCompleted", "WorkflowCompleted"),
    )


async def test_the_texts_of_steps_may_be_left_out_of_the_stream(serve: Serve) -> None:
    model = HeldModel()
    steps = [Agent(id="writer", model=model), Step(name="g", executor=gen)]
    quiet = Workflow(id="quiet", steps=steps, agent=WorkflowAgent(model=model), stream_executor_events=False)
    async with serve(served=Sample([], [], [quiet]), model=model) as client:
        stream = await client.stream(CALL, to="workflows/quiet", session_id="s1")
        run_id = stream.one("WorkflowCompleted")["run_id"]
        run = await client.get(f"/workflows/quiet/runs/{run_id}", session_id="s1")
    assert tuple(stream.names) == (
        *("WorkflowAgentStarted", "WorkflowStarted", "StepStarted", "StepCompleted"),
        *("StepStarted", "StepOutput", "StepCompleted", "WorkflowAgentCompleted", "WorkflowCompleted"),
    )
    assert stream.one("WorkflowAgentCompleted")["content"] == "Done: gen done"
    assert [step["content"] for step in run["step_results"]] == ["Echo: go", "gen done"]


async def test_the_agent_is_shown_the_runs_before(client: ServerClient) -> None:
    await client.run(CALL, to=RUN, session_id="s1")
    await client.run("hello", to=RUN, session_id="s1")
    await client.run("and now?", to=RUN, session_id="s1")
    system = client.model.conversation()[0]["content"]
    assert "Workflow output: UP(go)" in system
    assert "User input: hello\nWorkflow output: Echo: hello" in system


async def test_a_run_that_waits_shows_its_steps(client: ServerClient) -> None:
    paused = await client.run(CALL, to="workflows/confirmed", session_id="s1")
    assert (paused["status"], paused["paused_step_name"]) == ("PAUSED", "sure")
    assert [step["step_name"] for step in paused["step_results"]] == ["u"]
    (question,) = paused["step_requirements"]
    answer = await client.http.post(
        f"/workflows/confirmed/runs/{paused['run_id']}/continue",
        data={
            "session_id": "s1",
            "stream": "false",
            "step_requirements": f'[{{"id": "{question["id"]}", "confirmed": true}}]',
        },
    )
    done = answer.json()
    assert (done["status"], done["content"]) == ("COMPLETED", "UP(UP(go))")
    assert len(client.model.calls) == 2
