"""The agent of a workflow: what it decides, what it knows, and what its tool gives it."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest, SystemPromptPart, ToolReturnPart

from musterd import Step, StepInput, StepOutput, Workflow, WorkflowAgent
from musterd.core.errors import StepFailed
from musterd.core.events import EventKind
from musterd.flow.walk import Walk
from musterd.loop.history import NoHistory
from musterd.loop.pausing import Waits
from tests.support.flow import FlowHarness


def shout(step_input: StepInput, session_state: dict[str, Any]) -> StepOutput:
    session_state["shouted"] = step_input.input
    return StepOutput(content=f"UP({step_input.input})")


def fail(step_input: StepInput) -> StepOutput:
    raise ValueError("boom in step")


def call(query: str) -> str:
    return f'[[TOOL run_workflow {{"query": "{query}"}}]]'


def harness(message: str, *steps: Any, **options: Any) -> FlowHarness:
    agent = WorkflowAgent(model="scripted", **options.pop("agent", {}))
    return FlowHarness(Workflow(id="w", steps=steps or [shout], agent=agent, **options), message)


def tool_results(flow: FlowHarness) -> list[Any]:
    """The results of tool calls in the last conversation of the model."""
    messages = flow.model.calls[-1]
    return [part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]


def system_message(flow: FlowHarness) -> str:
    first = flow.model.calls[0][0]
    assert isinstance(first, ModelRequest)
    return "".join(str(part.content) for part in first.parts if isinstance(part, SystemPromptPart))


async def test_the_agent_answers_itself() -> None:
    flow = harness("hello")
    output = await flow.drive()
    assert (output.content, output.step_results, output.is_agent_answer) == ("Echo: hello", [], True)
    assert [event.kind for event in flow.events if event.run_id == "root"] == [
        EventKind.RUN_STARTED,
        EventKind.WORKFLOW_AGENT_COMPLETED,
    ]
    assert flow.data(EventKind.RUN_STARTED)[0]["has_agent"] is True


async def test_the_agent_runs_the_workflow_with_its_query() -> None:
    flow = harness(call("tea"))
    output = await flow.drive()
    assert (output.content, output.is_agent_answer) == ("UP(tea)", False)
    assert [step["content"] for step in flow.step_results] == ["UP(tea)"]
    assert flow.state == {"shouted": "tea"}
    assert flow.data(EventKind.WORKFLOW_AGENT_COMPLETED) == [{"content": "Done: UP(tea)"}]
    own = [event.kind for event in flow.events if event.run_id == "root"]
    assert own == [
        *(EventKind.RUN_STARTED, EventKind.WORKFLOW_CALLED, EventKind.STEP_STARTED, EventKind.STEP_OUTPUT),
        *(EventKind.STEP_COMPLETED, EventKind.WORKFLOW_AGENT_COMPLETED),
    ]
    assert [(start.path, start.parent_id) for start in flow.steps.started] == [("a", "root")]


async def test_the_workflow_is_run_once() -> None:
    flow = harness(f"{call('tea')} {call('coffee')}")
    output = await flow.drive()
    assert output.content == "UP(tea)"
    assert tool_results(flow) == [
        "UP(tea)",
        "The workflow has already been run for this request. Answer with its result.",
    ]


async def test_a_call_without_a_query_is_not_a_run_of_the_workflow() -> None:
    flow = harness(f"[[TOOL run_workflow {{}}]] {call('tea')}")
    assert (await flow.drive()).content == "UP(tea)"
    assert "query: missing" in tool_results(flow)[0]


async def test_a_failed_step_fails_the_run_and_the_agent_does_not_read_it() -> None:
    flow = harness(call("tea"), shout, Step(name="bad", executor=fail, max_retries=0))
    with pytest.raises(StepFailed, match="Step 'bad' failed: boom in step") as failed:
        await flow.drive()
    assert failed.value.paths == ["s1"]
    assert len(flow.model.calls) == 1
    assert [step["step_name"] for step in flow.step_results] == ["shout"]


async def test_a_failed_agent_fails_the_run() -> None:
    flow = harness("[[ERROR 400]]")
    with pytest.raises(StepFailed, match="Workflow 'w' failed: Workflow agent failed"):
        await flow.drive()


async def test_a_question_of_a_step_is_not_one_of_the_agent() -> None:
    flow = harness(call("tea"), Step(name="sure", executor=shout, requires_confirmation=True))
    with pytest.raises(Waits) as waiting:
        await flow.drive()
    assert [question.path for question in waiting.value.requirements] == ["s0/q"]
    assert flow.data(EventKind.RUN_PAUSED) == []


class _History(NoHistory):
    async def inputs_and_outputs(self, limit: int) -> list[tuple[str, str]]:
        return [("first", "UP(first)"), ("second", "UP(second)")]


async def test_the_agent_knows_the_workflow_and_its_earlier_runs() -> None:
    flow = harness("hello", description="Shouts", agent={"num_history_runs": 1})
    flow.walk = Walk(replace(flow.tree, history=_History()), replace(flow.run, opens_session=False))
    await flow.drive()
    text = system_message(flow)
    assert "The workflow: Shouts" in text
    assert "User input: second\nWorkflow output: UP(second)" in text
    assert "first" not in text.partition("<workflow_history_context>")[2]


async def test_own_instructions() -> None:
    flow = harness(
        "hello",
        description="Shouts",
        agent={"instructions": "Know: {workflow_context}. Obey.", "add_workflow_history": False},
    )
    await flow.drive()
    assert "Know: The workflow: Shouts. Obey." in system_message(flow)


async def test_a_function_may_be_what_the_agent_runs() -> None:
    async def whole(workflow: Any, execution_input: Any) -> str:
        step = await workflow.step("shout", shout)
        return f"whole {step.content}"

    flow = FlowHarness(Workflow(id="w", steps=whole, agent=WorkflowAgent(model="scripted")), call("tea"))
    assert (await flow.drive()).content == "whole UP(tea)"
