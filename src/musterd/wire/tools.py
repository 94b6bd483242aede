"""Tool calls as AgentOS shows them: an object in which every key is present, and one line of text."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import RequirementKind, Verdict

_LINE_COLUMNS = 80  # AgentOS uses the width of its terminal, which is 80 on a server


class ToolMetrics(TypedDict):
    """When a tool call was made, in Unix time, and for how many seconds it ran."""

    start_time: float
    end_time: float
    duration: float


class FeedbackOption(TypedDict):
    """An answer that a person may choose."""

    label: str
    description: str | None
    selected: bool


class FeedbackQuestion(TypedDict):
    """A question with answers to choose from."""

    question: str
    header: str | None
    multi_select: bool
    selected_options: list[str] | None
    options: list[FeedbackOption]


class UserForm(TypedDict, total=False):
    """A form for a person: either fields to fill in, or questions with answers to choose from."""

    user_input_schema: Annotated[list[JsonObject], Field(description="The fields that a person fills in.")]
    user_feedback_schema: Annotated[list[FeedbackQuestion], Field(description="The questions that a person answers.")]


class ToolDecision(TypedDict):
    """What a person must decide or has decided about a tool call. Every value is null if no person is involved."""

    requires_confirmation: bool | None
    confirmed: bool | None
    confirmation_note: str | None
    requires_user_input: bool | None
    user_input_schema: list[JsonObject] | None
    user_feedback_schema: list[FeedbackQuestion] | None
    answered: bool | None
    external_execution_required: bool | None
    external_execution_silent: bool | None
    approval_type: str | None
    approval_id: str | None


class ToolExecution(ToolDecision):
    """A tool call."""

    tool_call_id: str
    tool_name: str
    tool_args: JsonObject
    tool_call_error: Annotated[bool | None, Field(description="Whether the call failed; null before it was made.")]
    result: Annotated[str | None, Field(description="The text that the model received.")]
    metrics: ToolMetrics | None
    child_run_id: Annotated[str | None, Field(description="The member's run, if the call is a delegation.")]
    stop_after_tool_call: bool
    created_at: int


_NO_DECISION: ToolDecision = {
    "requires_confirmation": None,
    "confirmed": None,
    "confirmation_note": None,
    "requires_user_input": None,
    "user_input_schema": None,
    "user_feedback_schema": None,
    "answered": None,
    "external_execution_required": None,
    "external_execution_silent": None,
    "approval_type": None,
    "approval_id": None,
}


def tool_object(call: ToolCall) -> ToolExecution:
    """A tool call, with every key."""
    metrics: ToolMetrics | None = None
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
        **(_NO_DECISION if call.asked is None else _decision_object(call.asked)),
    }


def form_object(fields: Sequence[JsonObject]) -> UserForm:
    """The form that a person fills in, under AgentOS's key for its kind."""
    if not any("options" in field for field in fields):
        return {"user_input_schema": list(fields)}
    return {"user_feedback_schema": [_question_object(field) for field in fields]}


def _question_object(field: JsonObject) -> FeedbackQuestion:
    selected = field["value"]
    return {
        "question": field["name"],
        "header": field["header"],
        "multi_select": field["multi_select"],
        "selected_options": selected,
        "options": [
            {
                "label": option["label"],
                "description": option.get("description"),
                "selected": option["label"] in (selected or ()),
            }
            for option in field["options"]
        ],
    }


def _decision_object(approval: JsonObject) -> ToolDecision:
    """What a person must decide about a call, and the decision.

    :param approval: as stored in :attr:`ToolCall.asked`.
    """
    kind, verdict = approval["kind"], approval.get("verdict")
    is_form, is_external = kind == RequirementKind.USER_INPUT, kind == RequirementKind.EXTERNAL_EXECUTION
    form: UserForm = form_object(approval.get("fields") or []) if is_form else {}
    is_confirmation = verdict is not None and (kind == RequirementKind.CONFIRMATION or verdict == Verdict.REFUSED)
    return {
        "requires_confirmation": None if is_form or is_external else True,
        "confirmed": verdict == Verdict.RUN if is_confirmation else None,
        "confirmation_note": approval.get("note") if is_confirmation else None,
        "requires_user_input": True if is_form else None,
        "user_input_schema": form.get("user_input_schema"),
        "user_feedback_schema": form.get("user_feedback_schema"),
        "answered": verdict != Verdict.REFUSED if is_form and verdict is not None else None,
        "external_execution_required": True if is_external else None,
        "external_execution_silent": approval.get("is_silent") if is_external else None,
        "approval_type": approval.get("approval_type"),
        "approval_id": approval.get("approval_id"),
    }


def tool_line(call: ToolCall) -> str:
    """``get_weather(city=Paris) completed in 0.0036s. ``; long text arguments are shortened to three dots."""
    longest = max(20, (_LINE_COLUMNS - len(call.name) - 4) // 2)
    arguments = ", ".join(
        f"{name}={'...' if isinstance(value, str) and len(value) > longest else value}"
        for name, value in call.args.items()
    )
    return f"{call.name}({arguments}) completed in {call.seconds or 0.0:.4f}s. "
