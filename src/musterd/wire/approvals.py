"""Approvals as AgentOS shows them."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.approvals import STATUSES, Approval
from musterd.core.requirements import MAX_TEXT
from musterd.wire.requirements import RunRequirement, requirement_object
from musterd.wire.states import STATUS, RunStatus
from musterd.wire.times import whole_seconds

_Status = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]


class ApprovalResponse(TypedDict):
    """An approval."""

    id: str
    run_id: str
    session_id: str
    status: _Status
    source_type: str
    approval_type: str | None
    pause_type: str | None
    tool_name: str | None
    tool_args: dict[str, Any] | None
    expires_at: int | None
    agent_id: str | None
    team_id: str | None
    workflow_id: str | None
    user_id: str | None
    schedule_id: Annotated[str | None, Field(description="The schedule that started the run.")]
    schedule_run_id: Annotated[str | None, Field(description="The schedule run with which it did.")]
    source_name: str | None
    requirements: list[RunRequirement] | None
    context: dict[str, Any] | None
    resolution_data: dict[str, Any] | None
    resolved_by: str | None
    resolved_at: int | None
    created_at: int | None
    updated_at: int | None
    run_status: RunStatus | None
    member_name: Annotated[
        str | None, Field(description="The member whose call it is; null for a call of the run itself.")
    ]
    member_run_id: str | None
    task: Annotated[
        str | None,
        Field(description=f"The task of the member, or the run's message; the first {MAX_TEXT} characters."),
    ]
    tool_description: str | None
    step_path: Annotated[str, Field(description="The call's position in the run tree, as in the run's steps.")]
    default_decision: Annotated[
        str | None,
        Field(description="`approve` or `reject`, which applies at `expires_at`; null: the run fails then."),
    ]
    tool_parameters: Annotated[
        dict[str, Any] | None,
        Field(
            description="The JSON schema of the arguments that a person may change or fill in: also of those that the "
            "model left out, with their defaults; null if there are none."
        ),
    ]


class ApprovalStatusResponse(TypedDict):
    """The status of an approval."""

    approval_id: str
    status: _Status
    run_id: str
    resolved_at: int | None
    resolved_by: str | None


class ApprovalCountResponse(TypedDict):
    """A number of approvals."""

    count: int


def approval_object(approval: Approval) -> ApprovalResponse:
    """An approval with the peer's keys, nulls included, and then our own."""
    requirement = approval.requirement
    is_members = requirement.run_id != approval.root_id
    is_agents = requirement.component_kind == "agent"
    return {
        "id": requirement.id,
        "run_id": approval.root_id,
        "session_id": approval.session_id,
        "status": approval.status,
        "source_type": approval.source_type,
        "approval_type": requirement.approval_type,
        "pause_type": requirement.kind.value,
        "tool_name": requirement.tool.name,
        "tool_args": requirement.tool.args,
        "expires_at": whole_seconds(approval.expires_at),
        "agent_id": requirement.component_id if is_agents else None,
        "team_id": approval.source_id if approval.source_type == "team" else None,
        "workflow_id": approval.source_id if approval.source_type == "workflow" else None,
        "user_id": approval.user_id,
        "schedule_id": approval.schedule_id,
        "schedule_run_id": approval.firing_id,
        "source_name": approval.source_name,
        "requirements": [requirement_object(requirement.as_json(), approval.root_id)],
        "context": _context(approval),
        "resolution_data": approval.resolution_data or _decision_data(approval),
        "resolved_by": approval.decided_by,
        "resolved_at": whole_seconds(approval.decided_at),
        "created_at": whole_seconds(approval.created_at),
        "updated_at": whole_seconds(approval.decided_at),
        "run_status": STATUS[approval.run_state],
        "member_name": requirement.component_name if is_members else None,
        "member_run_id": requirement.run_id if is_members else None,
        "task": requirement.task,
        "tool_description": requirement.tool_description,
        "step_path": requirement.path,
        "default_decision": requirement.default_decision,
        "tool_parameters": requirement.schema,
    }


def approval_status(approval: Approval) -> ApprovalStatusResponse:
    """The status of an approval."""
    return {
        "approval_id": approval.requirement.id,
        "status": approval.status,
        "run_id": approval.root_id,
        "resolved_at": whole_seconds(approval.decided_at),
        "resolved_by": approval.decided_by,
    }


def _context(approval: Approval) -> dict[str, Any]:
    requirement = approval.requirement
    context: dict[str, Any] = {"tool_names": [requirement.tool.name], "source_name": approval.source_name}
    return context if requirement.step is None else {**context, "step": requirement.step}


def _decision_data(approval: Approval) -> dict[str, Any] | None:
    """The data of a decision that did not come through the inbox."""
    decision = approval.decision or {}
    data = {name: decision[name] for name in ("values", "result", "note") if decision.get(name) is not None}
    return data or None
