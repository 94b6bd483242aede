"""Tool calls that wait for a person before they are made: what is asked, and what was said."""

from dataclasses import replace

from musterd.core import clock, jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import ApprovalRow, Requirement, RequirementKind, Verdict
from musterd.declare import Tool
from musterd.loop.assignment import Assignment
from musterd.loop.run_tree import RunTree
from musterd.loop.user_input_forms import form_of


def asked_by(tool: Tool) -> RequirementKind | None:
    """What a person is asked before each call of the tool; None: nothing."""
    if tool.requires_confirmation:
        return RequirementKind.CONFIRMATION
    if tool.requires_user_input:
        return RequirementKind.USER_INPUT
    return RequirementKind.EXTERNAL_EXECUTION if tool.external_execution else None


def requirement_about(world: RunTree, run: Assignment, call: ToolCall, path: str, kind: RequirementKind) -> Requirement:
    """What a person is asked about a call.

    :param path: the call's place in the tree.
    """
    component = run.component
    return Requirement(
        id=clock.derived_id(world.salt, f"{path}/{kind.value}"),
        kind=kind,
        path=path,
        tool=call,
        run_id=run.run_id,
        component_kind=component.kind,
        component_id=component.id,
        component_name=component.name,
        created_at=clock.now(),
        approval_type=_needed(call) if kind is RequirementKind.UNKNOWN_OUTCOME else None,
    )


def _needed(call: ToolCall) -> str | None:
    """Where a call needed approval, it needs it once more to be made again."""
    needed: str | None = (call.asked or {}).get("approval_type")
    return needed if needed == "required" else None


def first_asked(world: RunTree, run: Assignment, call: ToolCall, path: str, tool: Tool) -> Requirement | None:
    """What a person is asked before the call is made, noted in the call; None: nothing."""
    kind = asked_by(tool)
    if kind is None:
        return None
    found = requirement_about(world, run, call, path, kind)
    fields, schema = None, None
    if kind is RequirementKind.USER_INPUT:
        fields, schema = form_of(tool, call.args)
    elif kind is RequirementKind.CONFIRMATION:  # a person may agree to the call with other arguments
        schema = tool.parameters
    within = tool.decide_within_seconds
    call.asked = {"kind": kind.value, "approval_id": found.id}
    if tool.approval is not None:
        call.asked["approval_type"] = tool.approval
    if fields is not None:
        call.asked["fields"] = fields
    if tool.external_execution_silent:
        call.asked["is_silent"] = True
    return replace(
        found,
        fields=fields,
        schema=schema,
        approval_type=tool.approval,
        expires_at=None if within is None else found.created_at + within,
        default_decision=tool.default_decision,
    )


def take_in(call: ToolCall, tool: Tool, row: ApprovalRow) -> None:
    """Bring a call to what a person made of it: with the arguments and the words of the decision."""
    call.args = {**call.args, **row.requirement.tool.args}
    call.asked = row.requirement.tool.asked
    decision = row.decision
    if decision is None or row.requirement.kind is RequirementKind.UNKNOWN_OUTCOME:
        return
    values = decision.get("values") or {}
    call.args = {**call.args, **(values if tool.asks_for is None else {"answers": values})}
    said: JsonObject = {"verdict": decision["verdict"], "note": decision["note"]}
    if values and row.requirement.kind is RequirementKind.CONFIRMATION:
        said["changed"] = values
    if fields := (call.asked or {}).get("fields"):
        said["fields"] = [{**found, "value": values.get(found["name"], found["value"])} for found in fields]
    call.asked = {**(call.asked or {}), **said}


def change_note(call: ToolCall) -> str:
    """What the model is told before the result of a call whose arguments a person changed; empty if nobody did."""
    changed = (call.asked or {}).get("changed")
    if not changed:
        return ""
    return f"A person changed the arguments of this call: {jsontext.dumps(changed)}\n"


def made_with(call: ToolCall) -> JsonObject | None:
    """The arguments of a call that was made with others than the model's own; None: a person gave and changed none."""
    asked = call.asked or {}
    return call.args if asked.get("changed") or asked.get("fields") else None


def waits_still(row: ApprovalRow | None, asks: Requirement | None) -> bool:
    """Whether a call is not begun before somebody decides."""
    if row is None:
        return asks is not None
    return row.decision is None and row.requirement.kind is not RequirementKind.UNKNOWN_OUTCOME


def may_begin(row: ApprovalRow) -> bool:
    """Whether the call may have been made, or is to be: with whatever arguments a person gave."""
    if row.requirement.kind is RequirementKind.UNKNOWN_OUTCOME:
        return True
    return row.decision is not None and row.decision["verdict"] == Verdict.RUN.value
