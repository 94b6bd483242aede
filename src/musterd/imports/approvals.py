"""One approval of AgentOS as a row of musterd's inbox of approvals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from musterd.core import jsontext
from musterd.core.approvals import STATUSES
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import RunRow
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.imports.runs import form_fields, imported_tool_call, require_id
from musterd.imports.values import Unreadable, object_in, objects_in, parse, text_in, text_of, time_in

_JSON_COLUMNS = ("tool_args", "requirements", "context", "resolution_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedApproval:
    """An approval whose run has ended.

    :param run_id: the run whose tool call it is, the root or a member.
    :param requirement: without what it takes from its run.
    """

    run_id: str
    requirement: Requirement
    status: str
    decision: JsonObject | None
    decided_by: str | None
    decided_at: float | None
    resolution_data: JsonObject | None

    def params(self, run: RunRow) -> JsonObject:
        """The parameters of the statement that stores it.

        :param run: its run as it is stored.
        """
        requirement = replace(
            self.requirement,
            run_id=run.run_id,
            path=run.path,
            component_kind=run.component_kind,
            component_id=run.component_id,
            component_name=run.component_name,
        )
        return {
            "id": requirement.id,
            "root_id": run.root_id,
            "run_id": run.run_id,
            "path": requirement.path,
            "kind": requirement.kind.value,
            "status": self.status,
            "approval_type": requirement.approval_type,
            "request": jsontext.dumps(requirement.as_json()),
            "decision": None if self.decision is None else jsontext.dumps(self.decision),
            "decided_by": self.decided_by,
            "resolution_data": None if self.resolution_data is None else jsontext.dumps(self.resolution_data),
            "created_at": requirement.created_at,
            "decided_at": self.decided_at,
        }


def imported_approval(stored: Mapping[str, Json]) -> ImportedApproval:
    """Convert a row of AgentOS's table of approvals. One that was pending is cancelled, because its run has ended.

    :raises Unreadable: it does not have the form that AgentOS gives it.
    """
    approval_id = require_id(stored, "id")
    columns = {name: parse(stored.get(name), name) for name in _JSON_COLUMNS}
    status = text_of(stored.get("status"))
    if status not in STATUSES:
        raise Unreadable(f"its status is {status[:40]!r}")
    kind_name = text_of(stored.get("pause_type"))
    kind = next((kind for kind in RequirementKind if kind.value == kind_name), RequirementKind.CONFIRMATION)
    first: JsonObject = next(iter(objects_in(columns, "requirements")), {})
    call = object_in(first, "tool_execution") or {
        "tool_name": stored.get("tool_name"),
        "tool_args": columns["tool_args"],
    }
    created_at = time_in(stored, "created_at") or 0.0
    return ImportedApproval(
        run_id=text_of(first.get("member_run_id")) or require_id(stored, "run_id"),
        requirement=Requirement(
            id=approval_id,
            kind=kind,
            path="",
            tool=imported_tool_call(call, 0),
            run_id="",
            component_kind="agent",
            component_id="",
            component_name="",
            created_at=created_at,
            fields=form_fields(call) or None,
            approval_type=text_in(stored, "approval_type"),
        ),
        status="cancelled" if status == "pending" else status,
        decision=_decision(approval_id, status, kind),
        decided_by=text_in(stored, "resolved_by"),
        decided_at=time_in(stored, "resolved_at"),
        resolution_data=object_in(columns, "resolution_data") or None,
    )


def _decision(approval_id: str, status: str, kind: RequirementKind) -> JsonObject | None:
    if status not in ("approved", "rejected"):
        return None
    made = Verdict.HAPPENED if kind is RequirementKind.EXTERNAL_EXECUTION else Verdict.RUN
    return Decision(key=approval_id, verdict=made if status == "approved" else Verdict.REFUSED).as_json()
