"""Approvals as AgentOS shows them, and what a client sends to resolve one."""

from collections.abc import Iterable, Mapping
from typing import Any

from musterd.core.approvals import STATUSES, Approval, ApprovalFilter, Resolution
from musterd.wire.fields import Fields
from musterd.wire.pages import Pages, page_object
from musterd.wire.problems import MISSING
from musterd.wire.requirements import requirement_object
from musterd.wire.states import STATUS
from musterd.wire.times import whole_seconds

APPROVAL_TYPES = ("required", "audit")
RESOLUTIONS = ("approved", "rejected")
PAGES = Pages(default=100)


def approval_object(found: Approval) -> dict[str, Any]:
    """An approval with the peer's keys, nulls included."""
    requirement = found.requirement
    is_agents = requirement.component_kind == "agent"
    return {
        "id": requirement.id,
        "run_id": found.root_id,
        "session_id": found.session_id,
        "status": found.status,
        "source_type": found.source_type,
        "approval_type": requirement.approval_type,
        "pause_type": requirement.kind.value,
        "tool_name": requirement.tool.name,
        "tool_args": requirement.tool.args,
        "expires_at": whole_seconds(found.expires_at),
        "agent_id": requirement.component_id if is_agents else None,
        "team_id": found.source_id if found.source_type == "team" else None,
        "workflow_id": None,
        "user_id": found.user_id,
        "schedule_id": None,
        "schedule_run_id": None,
        "source_name": found.source_name,
        "requirements": [requirement_object(requirement.as_json(), found.root_id)],
        "context": {"tool_names": [requirement.tool.name], "source_name": found.source_name},
        "resolution_data": found.resolution_data or _said(found),
        "resolved_by": found.decided_by,
        "resolved_at": whole_seconds(found.decided_at),
        "created_at": whole_seconds(found.created_at),
        "updated_at": whole_seconds(found.decided_at),
        "run_status": STATUS[found.run_state],
    }


def approval_page(found: Iterable[Approval], total: int, wanted: ApprovalFilter) -> dict[str, Any]:
    """A page of approvals with the peer's ``meta``."""
    return page_object([approval_object(one) for one in found], total, page=wanted.page, limit=wanted.limit)


def approval_status(found: Approval) -> dict[str, Any]:
    """Where an approval stands."""
    return {
        "approval_id": found.requirement.id,
        "status": found.status,
        "run_id": found.root_id,
        "resolved_at": whole_seconds(found.decided_at),
        "resolved_by": found.decided_by,
    }


def parse_approvals_query(values: Mapping[str, str]) -> ApprovalFilter | None:
    """The query of ``GET /approvals``; None: nothing can match it, for there are neither workflows nor schedules.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values, "query")
    found = ApprovalFilter(
        status=fields.choice("status", STATUSES),
        approval_type=fields.choice("approval_type", APPROVAL_TYPES),
        pause_type=fields.text("pause_type"),
        source_type=fields.text("source_type"),
        agent_id=fields.text("agent_id"),
        team_id=fields.text("team_id"),
        user_id=fields.text("user_id"),
        run_id=fields.text("run_id"),
        limit=PAGES.limit(fields),
        page=PAGES.page(fields),
    )
    is_others = fields.text("workflow_id") or fields.text("schedule_id")
    fields.problems.raise_if_any()
    return None if is_others else found


def parse_resolution(body: Any) -> Resolution:
    """What the body of a resolve decides.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields.of_object(body)
    status, by = fields.choice("status", RESOLUTIONS), fields.identifier("resolved_by")
    if fields.given("status") is None:
        fields.problems.add("status", *MISSING)
    data = fields.json_object("resolution_data")
    for name, kind, words in (("values", dict, "a JSON object"), ("result", str, "a text"), ("note", str, "a text")):
        said = None if data is None else data.get(name)
        if said is not None and not isinstance(said, kind):
            fields.problems.add(("resolution_data", name), f"{kind.__name__}_type", f"Input should be {words}")
    fields.problems.raise_if_any()
    return Resolution(is_approved=status == "approved", by=by, data=data)


def _said(found: Approval) -> dict[str, Any] | None:
    """What was said with a decision that did not come through the inbox."""
    decision = found.decision or {}
    said = {name: decision[name] for name in ("values", "result", "note") if decision.get(name) is not None}
    return said or None
