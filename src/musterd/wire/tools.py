"""Tool calls as Agno shows them: an object that keeps all its keys, null or not, and one line of text."""

from collections.abc import Sequence
from typing import Any

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import RequirementKind, Verdict

UNDECIDED: dict[str, None] = dict.fromkeys(
    (
        "requires_confirmation",
        "confirmed",
        "confirmation_note",
        "requires_user_input",
        "user_input_schema",
        "user_feedback_schema",
        "answered",
        "external_execution_required",
        "external_execution_silent",
        "approval_type",
        "approval_id",
    )
)
"""What a person could decide about a call; null for a call that nobody is asked about."""

_LINE_COLUMNS = 80  # the peer measures its terminal; a server has none, and then it takes 80


def tool_object(call: ToolCall) -> dict[str, Any]:
    """``call`` as Agno's tool object, with every key."""
    metrics = None
    if call.started_at is not None and call.seconds is not None:
        metrics = {
            "start_time": call.started_at,
            "end_time": call.started_at + call.seconds,
            "duration": call.seconds,
        }
    return {
        "tool_call_id": call.id,
        "tool_name": call.name,
        "tool_args": call.args,
        "tool_call_error": call.is_error,
        "result": call.result,
        "metrics": metrics,
        "child_run_id": call.child_run_id,
        "stop_after_tool_call": call.stops_run,
        "created_at": int(call.created_at),
        **(UNDECIDED if call.asked is None else asked_object(call.asked)),
    }


def form_object(fields: Sequence[JsonObject]) -> dict[str, Any]:
    """A person's form under the peer's key: of values, or of questions with options."""
    if not any("options" in one for one in fields):
        return {"user_input_schema": list(fields)}
    return {"user_feedback_schema": [_question(one) for one in fields]}


def _question(asked: JsonObject) -> dict[str, Any]:
    chosen = asked["value"]
    return {
        "question": asked["name"],
        "header": asked["header"],
        "multi_select": asked["multi_select"],
        "selected_options": chosen,
        "options": [{**option, "selected": option["label"] in (chosen or ())} for option in asked["options"]],
    }


def asked_object(asked: JsonObject) -> dict[str, Any]:
    """What a person was asked about a call, and said, in the tool object's keys."""
    kind, verdict = asked["kind"], asked.get("verdict")
    value: dict[str, Any] = {**UNDECIDED}
    if kind == RequirementKind.USER_INPUT:
        value.update(requires_user_input=True, **form_object(asked.get("fields") or []))
        value["answered"] = None if verdict is None else verdict != Verdict.REFUSED
    elif kind == RequirementKind.EXTERNAL_EXECUTION:
        value["external_execution_required"] = True
        value["external_execution_silent"] = asked.get("is_silent")
    else:
        value["requires_confirmation"] = True
    if verdict is not None and (kind == RequirementKind.CONFIRMATION or verdict == Verdict.REFUSED):
        value["confirmed"], value["confirmation_note"] = verdict == Verdict.RUN, asked.get("note")
    value["approval_type"], value["approval_id"] = asked.get("approval_type"), asked.get("approval_id")
    return value


def tool_line(call: ToolCall) -> str:
    """``get_weather(city=Paris) completed in 0.0036s. ``; long text arguments are shown as three dots."""
    longest = max(20, (_LINE_COLUMNS - len(call.name) - 4) // 2)
    shown = ", ".join(
        f"{name}={'...' if isinstance(value, str) and len(value) > longest else value}"
        for name, value in call.args.items()
    )
    return f"{call.name}({shown}) completed in {call.seconds or 0.0:.4f}s. "
