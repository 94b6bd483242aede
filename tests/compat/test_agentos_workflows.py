"""AgentOSClient 2.5.6 lists, runs, streams and cancels workflows: its own classes for each run and event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client_drivers import ClientFailed

if TYPE_CHECKING:
    import httpx2

    from tests.support.client_drivers import Driver


def names(events: list[dict[str, Any]]) -> list[str]:
    """The names of the events, runs of deltas as one."""
    folded: list[str] = []
    for event in events:
        if not (folded and folded[-1] == event["event"] and event["event"].endswith("RunContent")):
            folded.append(event["event"])
    return folded


def test_the_list_and_a_detail(agentos: Driver) -> None:
    listed = agentos.list_workflows()
    assert [(item["$type"], item["id"], item["name"]) for item in listed][:1] == [
        ("WorkflowSummaryResponse", "seq", "Sequence")
    ]
    detail = agentos.get_workflow("seq")
    assert (detail["$type"], detail["id"], detail["workflow_agent"]) == ("WorkflowResponse", "seq", False)
    assert [step["name"] for step in detail["steps"]] == ["research", "shout", "crew"]
    assert agentos.aget_workflow("seq") == detail
    config = agentos.get_config()
    assert [item["id"] for item in config["workflows"]] == [item["id"] for item in listed]


def test_a_run_is_typed(agentos: Driver, session_id: str) -> None:
    run = agentos.run_workflow("seq", "hello", session_id=session_id, user_id="u1")
    assert run["$type"] == "WorkflowRunOutput"
    assert (run["workflow_id"], run["workflow_name"], run["session_id"]) == ("seq", "Sequence", session_id)
    assert (run["status"], run["content"], run["input"]) == ("COMPLETED", "Echo: UP(Echo: hello)", "hello")
    research, shout, crew = run["step_results"]
    assert {step["$type"] for step in run["step_results"]} == {"StepOutput"}
    assert (shout["executor_type"], shout["content"]) == ("function", "UP(Echo: hello)")
    assert [step["executor_type"] for step in (research, crew)] == ["agent", "team"]
    assert [inner["$type"] for inner in run["step_executor_runs"]] == ["RunOutput", "TeamRunOutput"]
    assert run["metrics"]["$type"] == "WorkflowMetrics"
    assert set(run["metrics"]["steps"]) == {"research", "crew"}
    assert agentos.complaints() == []


def test_a_stream_is_typed(agentos: Driver, session_id: str) -> None:
    events = agentos.run_workflow_stream("everything", "hello", session_id=session_id)
    assert {event["$type"].removesuffix("Event") for event in events} >= {
        *("WorkflowStarted", "ParallelExecutionStarted", "ParallelExecutionCompleted", "ConditionExecutionStarted"),
        *("ConditionExecutionCompleted", "LoopExecutionStarted", "LoopIterationStarted", "LoopIterationCompleted"),
        *("LoopExecutionCompleted", "RouterExecutionStarted", "RouterExecutionCompleted", "StepsExecutionStarted"),
        *("StepsExecutionCompleted", "StepStarted", "StepCompleted", "RunContent", "WorkflowCompleted"),
    }
    assert names(events)[0] == "WorkflowStarted"
    assert names(events)[-1] == "WorkflowCompleted"
    assert events[-1]["content"].startswith("UP(")
    completed = next(event for event in events if event["event"] == "LoopExecutionCompleted")
    assert (completed["total_iterations"], len(completed["all_results"])) == (2, 2)
    assert agentos.complaints() == []


def test_an_agent_in_front_is_typed(agentos: Driver, session_id: str) -> None:
    message = '[[TOOL run_workflow {"query": "go"}]]'
    run = agentos.run_workflow("front", message, session_id=session_id)
    assert (run["content"], run["workflow_agent_run"]["$type"]) == ("UP(go)", "RunOutput")
    assert run["workflow_agent_run"]["content"] == "Done: UP(go)"
    events = agentos.run_workflow_stream("front", message, session_id=session_id)
    assert [name for name in names(events) if name.startswith(("Workflow", "Step"))] == [
        *("WorkflowAgentStarted", "WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted"),
        *("WorkflowAgentCompleted", "WorkflowCompleted"),
    ]
    direct = agentos.run_workflow_stream("front", "hello", session_id=session_id)
    assert direct[-1]["metadata"] == {"agent_direct_response": True}
    assert {event["workflow_agent"] for event in direct if event["event"] == "RunContent"} == {True}
    assert agentos.complaints() == []


def test_an_unknown_workflow(agentos: Driver) -> None:
    with pytest.raises(ClientFailed) as failed:
        agentos.get_workflow("nope")
    assert failed.value.status == 404
    with pytest.raises(ClientFailed) as failed:
        agentos.run_workflow("nope", "hello")
    assert failed.value.status == 404


def test_a_cancel(agentos: Driver, http: httpx2.Client, session_id: str) -> None:
    stream = agentos.begin("run_workflow_stream", "seq", "[[SLEEP 600000]]", session_id=session_id)
    run_id = stream.until("StepStarted")["run_id"]
    assert agentos.cancel_workflow_run("seq", run_id) is None
    assert names(stream.result())[-1] == "WorkflowCancelled"
    ended = http.get(f"/workflows/seq/runs/{run_id}", params={"session_id": session_id, "wait": 30}).json()
    assert ended["status"] == "CANCELLED"
    assert agentos.complaints() == []


def test_sessions_of_workflows(agentos: Driver, session_id: str) -> None:
    agentos.run_workflow("seq", "hello", session_id=session_id)
    kind = {"$type": "SessionType", "value": "workflow"}
    session = agentos.get_session(session_id, session_type=kind)
    assert (session["$type"], session["workflow_id"]) == ("WorkflowSessionDetailSchema", "seq")
    (run,) = agentos.get_session_runs(session_id, session_type=kind)
    assert (run["$type"], run["workflow_id"], run["run_input"]) == ("WorkflowRunSchema", "seq", "hello")
    assert len(run["step_results"]) == 3
