"""Events of workflows as AgentOS's: whose they are, which step they are about, and what a pause waits for."""

from typing import Any

from musterd.core.events import Event, EventKind
from musterd.wire.events import EventRenderer, RunIdentity, is_content_only

AT = 1795737633.25
HEAD = {"step_id": "id-1", "step_name": "one", "step_index": [0, 1], "parent_step_id": "id-0"}
OUTPUT = {"content": "done", "step_name": "one", "images": [{"url": "x"}], "videos": None}


def renderer() -> EventRenderer:
    """The renderer of a workflow whose step runs a team."""
    workflow = RunIdentity(component_kind="workflow", component_id="w", component_name="W")
    return EventRenderer("s1", {"root": workflow})


def rendered(kind: EventKind, data: dict[str, Any], run_id: str = "root") -> dict[str, Any]:
    """The event of the workflow as clients get it, without what all have."""
    _, value = renderer().render(Event(kind, run_id, AT, data, "s0"), 3)
    common = ("created_at", "at", "event_index", "nested_depth", "workflow_id", "workflow_name", "run_id", "session_id")
    for name in common:
        assert value.pop(name) is not None
    return value


def started(run_id: str, kind: str, parent: str, **more: Any) -> Event:
    """The start of a run below the workflow."""
    data = {"component_kind": kind, "component_id": f"{run_id}-id", "component_name": run_id, "parent_id": parent}
    return Event(EventKind.RUN_STARTED, run_id, AT, {**data, **more})


def test_events_of_a_steps_run_and_of_its_members_name_the_step() -> None:
    events = renderer()
    for event, depth in ((started("team", "team", "root", step=HEAD), 1), (started("member", "agent", "team"), 2)):
        _, value = events.render(event, 1)
        assert (value["workflow_id"], value["workflow_run_id"], value["nested_depth"]) == ("w", "root", depth)
        assert (value["step_id"], value["step_name"], value["step_index"]) == ("id-1", "one", [0, 1])
        assert "workflow_name" not in value
        assert "parent_step_id" not in value


def test_a_nested_workflow_speaks_for_itself() -> None:
    events = renderer()
    name, value = events.render(started("inner", "workflow", "root", step=HEAD), 1)
    assert (name, value["workflow_id"], value["parent_run_id"]) == ("WorkflowStarted", "inner-id", "root")
    _, value = events.render(started("agent", "agent", "inner", step={**HEAD, "step_id": "id-2"}), 2)
    assert (value["workflow_id"], value["workflow_run_id"], value["step_id"]) == ("inner-id", "inner", "id-2")


def test_an_agents_run_outside_a_workflow_names_no_step() -> None:
    events = EventRenderer("s1", {"root": RunIdentity(component_kind="team", component_id="t", component_name="T")})
    _, value = events.render(started("member", "agent", "root"), 1)
    assert not {"workflow_id", "step_id"} & set(value)


def test_the_result_of_a_step() -> None:
    assert rendered(EventKind.STEP_COMPLETED, {"step": HEAD, "output": OUTPUT}) == {
        "event": "StepCompleted",
        **HEAD,
        "content": "done",
        "content_type": "str",
        "images": [{"url": "x"}],
        "step_response": OUTPUT,
    }
    of_object = rendered(EventKind.STEP_COMPLETED, {"step": HEAD, "output": {"content": {"a": 1}}})
    assert of_object["content_type"] == "dict"


def test_a_branch_that_did_not_run_is_left_out() -> None:
    data = {"step": HEAD, "condition_result": False, "branch": None, "executed_steps": 0, "outputs": []}
    assert rendered(EventKind.CONDITION_COMPLETED, data) == {
        "event": "ConditionExecutionCompleted",
        **HEAD,
        "condition_result": False,
        "executed_steps": 0,
        "step_results": [],
    }


def test_a_failure_says_why() -> None:
    error = {"code": "step_failed", "message": "Step 'one' failed", "retryable": False}
    assert rendered(EventKind.RUN_ERROR, {"content": "x", "error": error}) == {
        "event": "WorkflowError",
        "error": "Step 'one' failed",
        "error_type": "step_failed",
    }


def test_content_only_streams_show_the_start_texts_outputs_and_the_end() -> None:
    def kinds(run_id: str) -> set[EventKind]:
        return {kind for kind in EventKind if is_content_only(Event(kind, run_id, AT), "root", "workflow")}

    ends = {EventKind.RUN_COMPLETED, EventKind.RUN_ERROR, EventKind.RUN_CANCELLED, EventKind.RUN_PAUSED}
    of_agent = {EventKind.WORKFLOW_CALLED, EventKind.WORKFLOW_AGENT_COMPLETED}
    texts = {EventKind.CONTENT, EventKind.ANSWER, EventKind.STEP_CONTENT}
    assert kinds("root") == ends | of_agent | texts | {EventKind.RUN_STARTED, EventKind.STEP_OUTPUT}
    assert kinds("member") == texts
