"""Requirements (tool calls that wait for a person) as AgentOS shows them, and the decisions that clients send.

A confirmation may come as ``confirmation`` or as ``tool_execution.confirmed``, or both; a person's input as values in
``user_input_schema``, of the requirement or its tool; arguments that a person changes in a confirmation as the same
values, or as ``tool_args`` of the tool; the result of a call that was made elsewhere as ``external_execution_result``
or as the tool's ``result``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.errors import BadRequest, InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.wire.json_values import json_problem
from musterd.wire.shapes import Time, UnixTime
from musterd.wire.step_requirements import StepQuestions, step_decision, step_questions, unknown_fields
from musterd.wire.tools import ToolExecution, UserForm, form_object, tool_object

_FORMS = (("user_input_schema", "name", "value"), ("user_feedback_schema", "question", "selected_options"))
"""The keys of a person's values: of the form, and in each of its items of the value's name and the value."""
_ALSO_SENT = ("confirmation", "confirmation_note", "external_execution_result", "execute_pre_hooks")
_ALSO_SENT_IN_TOOLS = ("external_execution_result_provided", "metadata", "resume_metadata")
"""Fields of a requirement and of its tool that are not shown here: decisions, and what later versions of AgentOS's
client send in each."""


class _Times(TypedDict, total=False):
    expires_at: Annotated[
        float, Field(description="Unix time at which the tool's default decision applies or the run fails.")
    ]
    started_at: UnixTime


class _Member(TypedDict, total=False):
    member_agent_id: Annotated[str, Field(description="The member that made the call, if it was not the run itself.")]
    member_agent_name: str
    member_run_id: str


class RunRequirement(UserForm, _Times, _Member):
    """A tool call that waits for a person."""

    id: Annotated[str, Field(description="Sent back with the decision.")]
    created_at: Time
    tool_execution: ToolExecution
    kind: Annotated[
        RequirementKind,
        Field(description="Why it waits; `unknown_outcome`: the call was interrupted, and may have happened."),
    ]


def requirement_object(stored: Mapping[str, Any], of_run: str) -> RunRequirement:
    """A requirement as AgentOS shows it, with ``kind``, ``expires_at`` and ``started_at`` of our own.

    :param stored: as :meth:`Requirement.as_json` wrote it.
    :param of_run: the run that shows it. If the call is not its own, the object names the member that made it.
    """
    requirement = Requirement.from_json(dict(stored))
    form: UserForm = {} if requirement.fields is None else form_object(requirement.fields)
    times: _Times = {}
    if requirement.expires_at is not None:
        times["expires_at"] = requirement.expires_at
    if requirement.started_at is not None:
        times["started_at"] = requirement.started_at
    return {
        "id": requirement.id,
        "created_at": datetime.fromtimestamp(requirement.created_at, UTC).isoformat(),
        "tool_execution": tool_object(_call_with_approval(requirement)),
        "kind": requirement.kind,
        **form,
        **times,
        **_member(requirement, of_run),
    }


def _member(requirement: Requirement, of_run: str) -> _Member:
    if requirement.run_id == of_run:
        return {}
    return {
        "member_agent_id": requirement.component_id,
        "member_agent_name": requirement.component_name,
        "member_run_id": requirement.run_id,
    }


def _call_with_approval(requirement: Requirement) -> ToolCall:
    """The tool call with the approval that this requirement asks for, in place of an earlier one."""
    approval: JsonObject = {
        "kind": requirement.kind,
        "approval_id": requirement.id,
        "fields": requirement.fields,
        "approval_type": requirement.approval_type,
        "is_silent": (requirement.tool.approval or {}).get("is_silent"),
    }
    return replace(requirement.tool, approval=approval)


def requirement_objects(stored: Iterable[Mapping[str, Any]], of_run: str) -> list[RunRequirement]:
    """Requirements as AgentOS shows them. See :func:`requirement_object`."""
    return [requirement_object(item, of_run) for item in stored]


class _WaitingCalls(TypedDict, total=False):
    requirements: Annotated[list[RunRequirement], Field(description="Tool calls of its steps' agents and teams.")]
    tools: list[ToolExecution]


class WaitingLists(StepQuestions, _WaitingCalls):
    """What a paused workflow waits for, without empty lists."""


def waiting_lists(stored: Iterable[Mapping[str, Any]], of_run: str) -> WaitingLists:
    """What a paused workflow waits for: questions of its steps, and tool calls of their agents and teams."""
    stored = list(stored)
    calls = requirement_objects([item for item in stored if item.get("step") is None], of_run)
    waiting: _WaitingCalls = {}
    if calls:
        waiting = {"requirements": calls, "tools": [call["tool_execution"] for call in calls]}
    return {**step_questions(stored), **waiting}


def parse_decisions(values: Mapping[str, Any]) -> list[Decision]:
    """The decisions in the lists of requirements and in ``tools``; items that are as they were shown are ignored.

    :raises BadRequest: a field is not JSON.
    :raises InvalidInput: a field is not a list of objects, or an object has no id.
    """
    decisions: list[Decision] = []
    for field in ("requirements", "tools"):
        for item in _items(values, field):
            decision = _decision(item, field)
            if decision is not None:
                decisions.append(decision)
    for field in ("step_requirements", "error_requirements"):
        decisions += filter(None, (step_decision(item, field) for item in _items(values, field)))
    return decisions


def _items(values: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    value = values.get(field)
    if isinstance(value, str):
        if not value.strip():
            return []
        try:
            value = jsontext.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"Invalid JSON in {field} field") from error
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidInput.at(("body", field), "list_type", "Input should be a JSON list of objects")
    if (problem := json_problem(value)) is not None:
        raise InvalidInput.at(("body", field), *problem)
    return value


def _decision(item: Mapping[str, Any], field: str) -> Decision | None:
    tool = item.get("tool_execution") if field == "requirements" else item
    tool = tool if isinstance(tool, dict) else {}
    if field == "tools" and tool.get("tool_call_error") is not None:
        return None  # clients may send back all tools of the run; this call was made already
    key = item.get("id") if field == "requirements" else item.get("tool_call_id")
    if not isinstance(key, str) or not key:
        name = "id" if field == "requirements" else "tool_call_id"
        raise InvalidInput.at(("body", field), "missing", f"An item has no {name}")
    result = item.get("external_execution_result") if field == "requirements" else None
    result = tool.get("result") if result is None else result
    if isinstance(result, str):
        return Decision(key=key, verdict=Verdict.HAPPENED, result=result, field=field)
    if result is not None:
        raise InvalidInput.at(("body", field), "string_type", "The result of a call is a text")
    confirmed = item.get("confirmation")
    confirmed = tool.get("confirmed") if confirmed is None else confirmed
    note = item.get("confirmation_note") or tool.get("confirmation_note")
    values = _values(item, field) if field == "requirements" else None
    tool_values = _values(tool, field)
    if confirmed is None:
        is_answered, unknown = tool.get("answered") is True, _unknown_fields(item, tool, field)
        if not (is_answered or values or tool_values or unknown):
            return None
        return Decision(
            key=key,
            verdict=Verdict.RUN,
            values=values,
            tool_values=tool_values,
            is_explicit=is_answered,
            field=field,
            unknown_fields=unknown,
        )
    if not isinstance(confirmed, bool) or not (note is None or isinstance(note, str)):
        raise InvalidInput.at(("body", field), "bool_type", "A confirmation is true or false, its note a text")
    if confirmed:
        args = tool.get("tool_args")
        args = args if isinstance(args, dict) else None
        return Decision(key=key, verdict=Verdict.RUN, values=values, tool_values=tool_values, args=args, field=field)
    return Decision(key=key, verdict=Verdict.REFUSED, note=note, field=field)


def _unknown_fields(item: Mapping[str, Any], tool: Mapping[str, Any], field: str) -> list[str]:
    unknown = unknown_fields(tool, {*ToolExecution.__annotations__, *_ALSO_SENT_IN_TOOLS})
    if field == "requirements":
        unknown += unknown_fields(item, {*RunRequirement.__annotations__, *_ALSO_SENT})
    return unknown


def _values(item: Mapping[str, Any], field: str) -> dict[str, Any] | None:
    """The values that a person filled in."""
    for schema_name, name, value in _FORMS:
        schema = item.get(schema_name)
        if not schema:
            continue
        if not isinstance(schema, list) or not all(isinstance(one, dict) and one.get(name) for one in schema):
            problem = f"A {schema_name} is a list of objects with {name} and {value}"
            raise InvalidInput.at(("body", field), "list_type", problem)
        return {str(one[name]): one.get(value) for one in schema}
    return None
