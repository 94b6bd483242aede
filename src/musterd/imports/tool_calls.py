"""Converts tool calls of AgentOS, with the questions to a person about them."""

from musterd.core.jsontext import storable
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import RequirementKind, Verdict
from musterd.imports.values import object_in, objects_in, seconds_in, text_in, text_of, time_in


def imported_tool_call(call: JsonObject, number: int) -> ToolCall:
    """Convert one tool call.

    :param number: its number in the run, for calls without an id.
    :raises Unreadable: it does not have AgentOS's format.
    """
    metrics = object_in(call, "metrics")
    started_at, result = time_in(metrics, "start_time"), call.get("result")
    is_error = call.get("tool_call_error")
    return ToolCall(
        id=text_in(call, "tool_call_id") or f"call-{number}",
        name=text_in(call, "tool_name") or "unknown",
        args=object_in(call, "tool_args"),
        created_at=time_in(call, "created_at") or started_at or 0.0,
        is_error=is_error if isinstance(is_error, bool) else None,
        result=None if result is None else storable(text_of(result)),
        started_at=started_at,
        seconds=seconds_in(metrics, "duration"),
        child_run_id=text_in(call, "child_run_id"),
        stops_run=bool(call.get("stop_after_tool_call")),
        approval=_approval(call),
    )


def _approval(call: JsonObject) -> JsonObject | None:
    """The question to a person about a call, with the decision; None if no person was involved."""
    kind = _requirement_kind(call)
    if kind is None:
        return None
    approval: JsonObject = {"kind": kind.value, "fields": form_fields(call)}
    for name in ("approval_type", "approval_id"):
        if (value := text_in(call, name)) is not None:
            approval[name] = value
    if (verdict := _verdict_of(call, kind)) is not None:
        approval |= {"verdict": verdict.value, "note": text_in(call, "confirmation_note")}
    return approval


def _requirement_kind(call: JsonObject) -> RequirementKind | None:
    """Why a call had to wait for a person; None if it did not."""
    # AgentOS clears the flag when the decision arrives.
    if call.get("requires_user_input") or call.get("answered") is not None:
        return RequirementKind.USER_INPUT
    if call.get("external_execution_required"):
        return RequirementKind.EXTERNAL_EXECUTION
    is_confirmation = call.get("requires_confirmation") or call.get("confirmed") is not None
    return RequirementKind.CONFIRMATION if is_confirmation else None


def _verdict_of(call: JsonObject, kind: RequirementKind) -> Verdict | None:
    """A person's decision about a call; None if there is none yet."""
    if call.get("confirmed") is False or call.get("answered") is False:
        return Verdict.REFUSED
    if kind is RequirementKind.EXTERNAL_EXECUTION:
        return None if call.get("result") is None else Verdict.HAPPENED
    is_decided = call.get("confirmed") if kind is RequirementKind.CONFIRMATION else call.get("answered")
    return Verdict.RUN if is_decided else None


def form_fields(call: JsonObject) -> list[JsonObject]:
    """The fields of a form, or the questions, that a person had to answer."""
    fields = objects_in(call, "user_input_schema")
    if fields:
        return [{**dict.fromkeys(("name", "field_type", "description", "value")), **item} for item in fields]
    return [
        {
            "name": text_of(question.get("question")),
            "header": question.get("header"),
            "multi_select": bool(question.get("multi_select")),
            "value": question.get("selected_options"),
            "options": [{"label": "", **option} for option in objects_in(question, "options")],
        }
        for question in objects_in(call, "user_feedback_schema")
    ]
