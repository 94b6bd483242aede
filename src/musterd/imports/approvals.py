"""Converts one approval of AgentOS to a row of musterd's approvals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from musterd.core import jsontext
from musterd.core.approvals import STATUSES
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import RunRow
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.imports.runs import require_id
from musterd.imports.tool_calls import form_fields, imported_tool_call
from musterd.imports.values import (
    Unreadable,
    object_in,
    objects_in,
    parse,
    require_shallow,
    text_in,
    text_of,
    time_in,
)

_JSON_COLUMNS = ("tool_args", "requirements", "context", "resolution_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedApproval:
    """An approval whose run has ended.

    :param run_id: the run of the tool call; a root run or a member run.
    :param requirement: the question; :meth:`params` adds the fields that come from the run.
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

        :param run: the stored run.
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
    """Convert a row of AgentOS's table of approvals. A pending approval becomes cancelled, because its run has ended.

    :raises Unreadable: it does not have AgentOS's format.
    """
    approval_id = require_id(stored, "id")
    columns = {name: parse(stored.get(name), name) for name in _JSON_COLUMNS}
    require_shallow([*columns.values()])
    status = text_of(stored.get("status"))
    if status not in STATUSES:
        raise Unreadable(f"unknown status {status[:40]!r}")
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
    verdict = Verdict.REFUSED
    if status == "approved":
        verdict = Verdict.HAPPENED if kind is RequirementKind.EXTERNAL_EXECUTION else Verdict.RUN
    return Decision(key=approval_id, verdict=verdict).as_json()
