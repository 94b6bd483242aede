"""Tool calls that wait for a person: the requirement that describes the call, and the decision about it."""

from dataclasses import replace

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import MAX_TEXT, ApprovalRow, Requirement, RequirementKind, Verdict
from musterd.declare import Tool
from musterd.loop.assignment import Assignment
from musterd.loop.hooks import message_of
from musterd.loop.run_tree import RunTree
from musterd.loop.user_input_forms import user_input_form


def requirement_kind_of(tool: Tool) -> RequirementKind | None:
    """The kind of decision that each call of the tool needs beforehand; None: no decision is needed."""
    if tool.requires_confirmation:
        return RequirementKind.CONFIRMATION
    if tool.requires_user_input:
        return RequirementKind.USER_INPUT
    return RequirementKind.EXTERNAL_EXECUTION if tool.external_execution else None


def make_requirement(
    tree: RunTree, run: Assignment, call: ToolCall, path: str, kind: RequirementKind, tool: Tool | None
) -> Requirement:
    """A requirement for a call.

    :param path: the call's place in the tree.
    :param tool: the tool; None for a delegation.
    """
    component = run.component
    return Requirement(
        # Derived, so that each attempt asks the same question under the same id.
        id=clock.derived_id(tree.salt, f"{path}/{kind.value}"),
        kind=kind,
        path=path,
        tool=call,
        run_id=run.run_id,
        component_kind=component.kind,
        component_id=component.id,
        component_name=component.name,
        created_at=clock.now(),
        approval_type=_required_approval(call) if kind is RequirementKind.UNKNOWN_OUTCOME else None,
        task=message_of(run.prompt)[:MAX_TEXT] or None,
        tool_description=None if tool is None else tool.description[:MAX_TEXT] or None,
    )


def _required_approval(call: ToolCall) -> str | None:
    """``required`` if the call needed an approval at first. Making it again then needs another one."""
    approval_type: str | None = (call.approval or {}).get("approval_type")
    return approval_type if approval_type == "required" else None


def requirement_before_call(
    tree: RunTree, run: Assignment, call: ToolCall, path: str, tool: Tool
) -> Requirement | None:
    """The requirement to decide before the call is made, also noted in the call; None: there is none."""
    kind = requirement_kind_of(tool)
    if kind is None:
        return None
    requirement = make_requirement(tree, run, call, path, kind, tool)
    fields, schema = None, None
    if kind is RequirementKind.USER_INPUT:
        fields, schema = user_input_form(tool, call.args)
    elif kind is RequirementKind.CONFIRMATION:  # a person may confirm the call with changed arguments
        schema = tool.parameters
    seconds_to_decide = tool.decide_within_seconds
    call.approval = {"kind": kind.value, "approval_id": requirement.id}
    if tool.approval is not None:
        call.approval["approval_type"] = tool.approval
    if fields is not None:
        call.approval["fields"] = fields
    if tool.external_execution_silent:
        call.approval["is_silent"] = True
    return replace(
        requirement,
        fields=fields,
        schema=schema,
        approval_type=tool.approval,
        expires_at=None if seconds_to_decide is None else requirement.created_at + seconds_to_decide,
        default_decision=tool.default_decision,
    )


def apply_decision(call: ToolCall, tool: Tool, row: ApprovalRow) -> None:
    """Bring a call up to date with its stored approval: the person's arguments, verdict and note."""
    call.args = {**call.args, **row.requirement.tool.args}
    call.approval = row.requirement.tool.approval
    decision = row.decision
    if decision is None or row.requirement.kind is RequirementKind.UNKNOWN_OUTCOME:
        return
    values = decision.get("values") or {}
    call.args = {**call.args, **(values if tool.asks_for is None else {"answers": values})}
    outcome: JsonObject = {"verdict": decision["verdict"], "note": decision["note"]}
    if values and row.requirement.kind is RequirementKind.CONFIRMATION:
        outcome["changed"] = values
    if fields := (call.approval or {}).get("fields"):
        outcome["fields"] = [{**field, "value": values.get(field["name"], field["value"])} for field in fields]
    call.approval = {**(call.approval or {}), **outcome}


def change_note(call: ToolCall) -> str:
    """The line before the call's result that tells the model which arguments a person changed; empty if none."""
    changed = (call.approval or {}).get("changed")
    if not changed:
        return ""
    return f"A person changed the arguments of this call: {jsontext.dumps(changed)}\n"


def arguments_from_person(call: ToolCall) -> JsonObject | None:
    """The call's arguments if a person gave or changed some of them; None: they are the model's own."""
    approval = call.approval or {}
    return call.args if approval.get("changed") or approval.get("fields") else None


def is_undecided(row: ApprovalRow | None, requirement: Requirement | None) -> bool:
    """Whether the call must not begin before a person decides."""
    if row is None:
        return requirement is not None
    # An unknown outcome is a question about a call that has already begun.
    return row.decision is None and row.requirement.kind is not RequirementKind.UNKNOWN_OUTCOME


def may_begin(row: ApprovalRow) -> bool:
    """Whether the call may already have begun, or may begin now; its arguments must then be valid."""
    if row.requirement.kind is RequirementKind.UNKNOWN_OUTCOME:
        return True
    return row.decision is not None and row.decision["verdict"] == Verdict.RUN.value
