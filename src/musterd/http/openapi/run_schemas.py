"""The shapes of runs: what a run answers, and how lists show it."""

from musterd.core.records import StepKind, StepOutcome, StepState
from musterd.core.requirements import RequirementKind
from musterd.http.openapi.described import Schema, flag, free, many, nullable, number, record, ref, text, whole
from musterd.wire.states import STATUS
from musterd.wire.tools import UNDECIDED

STATUSES = tuple(dict.fromkeys(STATUS.values()))

_CONTENT: Schema = {
    "description": "The answer: text, or an object when `content_type` names a schema. The error in words of a run "
    "that failed; what was produced so far of one that was cancelled."
}
_AT = "unix seconds"

_CUT_OFF: dict[str, Schema] = {
    "path": text("The step's place in the run tree."),
    "kind": text(enum=[kind.value for kind in StepKind]),
    "name": nullable(text("The tool's name, where it is known.")),
    "outcome": text(
        "stopped: it was ended. finished: it came to its own end first. unknown: it goes on in its thread, or its "
        "process was gone.",
        enum=[outcome.value for outcome in StepOutcome],
    ),
}
_CANCEL: dict[str, Schema] = {
    "requested_at": number(f"When it was asked for, in {_AT}."),
    "by": nullable(text()),
    "steps": many(
        record("CutOffStep", _CUT_OFF), "What became of the steps that were under way; once the run is CANCELLED."
    ),
}
_RECEIPT: dict[str, Schema] = {
    "run_id": text(),
    "session_id": text("Asked for when the run is polled."),
    "status": ref("RunStatus"),
}

_RUN: dict[str, Schema] = {
    "run_id": text("The run's id."),
    "session_id": text("The session's id; asked for when the run is polled."),
    "parent_run_id": text("The run of the team that delegated this one."),
    "user_id": text("The user that the run was started for."),
    "input": ref("RunInput"),
    "content": _CONTENT,
    "content_type": text('"str", or the name of the schema that `content` has.'),
    "reasoning_content": text("What the model thought aloud."),
    "reasoning_steps": many(free(), "The steps in which the request was thought through."),
    "model": text("The provider's name of the model."),
    "model_provider": text(),
    "session_state": free("The session's state after the run."),
    "created_at": whole(f"When it was accepted, in {_AT}."),
    "events": many(free(), "The event that ended a failed run, or paused one; else empty."),
    "metrics": ref("RunMetrics"),
    "status": ref("RunStatus"),
    "messages": many(ref("Message"), "The conversation with the model."),
    "tools": many(ref("ToolExecution"), "The tool calls, in order."),
    "requirements": many(ref("RunRequirement"), "What a paused run waits for."),
    "images": many(free(), "Images that the run has produced: `content` in base64 or `url`; `blob` names it."),
    "videos": many(free(), "Videos that the run has produced."),
    "audio": many(free(), "Sounds that the run has produced."),
    "files": many(free(), "Files that the run has produced."),
    "metadata": free("What the caller gave as `metadata`."),
    "attempts": whole("How often the run was begun."),
    "queued_at": number(f"When it began to wait, in {_AT}."),
    "started_at": number(f"When it was first begun, in {_AT}."),
    "first_token_at": number(f"When the model first said something, in {_AT}."),
    "ended_at": number(f"When it ended, in {_AT}."),
    "queue_position": whole("How many runs stand before it, while PENDING."),
    "cancel": record("CancelRequest", _CANCEL, optional=["steps"]),
    "error": ref("RunError"),
    "forked_from": text("The failed run that this one goes on from."),
    "copied_from": text("The run of another session that this is a copy of: the session was forked."),
    "cost": number("What the model calls of the run and its members cost, in US dollars, where list prices are known."),
    "budget": free("Each ceiling that the run had: `limit`, what was `spent` of it, what is `left`."),
}
_ALWAYS = {
    "run_id",
    "session_id",
    "input",
    "content_type",
    "model",
    "model_provider",
    "created_at",
    "metrics",
    "status",
}
_MEMBER_RESPONSES = many(
    free(), "The members' runs (RunOutput or TeamRunOutput), of a team that stores them; else empty."
)


def _output(title: str, component: str, **more: Schema) -> Schema:
    named = {f"{component}_id": text(f"The {component}'s id."), f"{component}_name": text(f"The {component}'s name.")}
    properties = {**named, **_RUN, **more}
    optional = [name for name in _RUN if name not in _ALWAYS]
    words = "A run. Keys without a value are left out; there may be further keys."
    if component == "team":  # under its team's path a run of a member that is an agent has the form of an agent's
        words += " A member that is an agent has `agent_id` and `agent_name` in place of the team's, and no members."
        optional += [*named, *more]
    return record(title, properties, optional=optional, additionalProperties=True, description=words)


def _media_list(description: str) -> Schema:
    return many(free(), description)


_LISTED: dict[str, Schema] = {
    "run_id": text(),
    "parent_run_id": text('The run of the team that delegated this one; "" at the top.'),
    "status": ref("RunStatus"),
    "run_input": text("The message."),
    "content": {"description": 'The answer; "" until the run has ended.'},
    "run_response_format": text(enum=["text", "json"]),
    "reasoning_content": nullable(text()),
    "reasoning_steps": many(free()),
    "metrics": ref("RunMetrics"),
    "messages": nullable(many(ref("Message"))),
    "tools": nullable(many(ref("ToolExecution"))),
    "events": nullable(many(free())),
    "created_at": text(format="date-time"),
    "references": many(free()),
    "citations": nullable(free()),
    "reasoning_messages": many(free()),
    "session_state": nullable(free()),
    "input_media": free("The attachments of the message."),
    "images": _media_list(""),
    "videos": _media_list(""),
    "audio": _media_list(""),
    "files": _media_list(""),
    "response_audio": nullable(free()),
}
_NULLS = ("messages", "tools", "events", "citations", "session_state", "response_audio")

_TOOL: dict[str, Schema] = {
    "tool_call_id": text(),
    "tool_name": text(),
    "tool_args": free(),
    "tool_call_error": nullable(flag("Whether it failed; null before it ran.")),
    "result": nullable(text("What the model was told.")),
    "metrics": nullable(free()),
    "child_run_id": nullable(text("The member's run, of a delegation.")),
    "stop_after_tool_call": flag(),
    "created_at": whole(),
    **{name: {"description": "What a person could decide; null where nobody is asked."} for name in UNDECIDED},
}

_MESSAGE: dict[str, Schema] = {
    "id": text(),
    "role": text(enum=["system", "user", "assistant", "tool"]),
    "content": text("Left out where the model only called tools."),
    "reasoning_content": text(),
    "from_history": flag("Whether it comes from an earlier run of the session."),
    "stop_after_tool_call": flag(),
    "tool_calls": many(free(), "The calls that the model made."),
    "tool_call_id": text(),
    "tool_name": text(),
    "tool_args": free(),
    "tool_call_error": flag(),
    "metrics": free(),
    "created_at": whole(),
}
_MESSAGE_ALWAYS = {"id", "role", "from_history", "stop_after_tool_call", "created_at"}

_COUNTS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens")
_METRICS: dict[str, Schema] = {
    **{name: whole(minimum=0) for name in (*_COUNTS, "reasoning_tokens")},
    "time_to_first_token": number("Seconds."),
    "duration": number("Seconds."),
    "details": free("The share of each model."),
}

_REQUIREMENT: dict[str, Schema] = {
    "id": text("Sent back with the decision."),
    "created_at": text(format="date-time"),
    "tool_execution": ref("ToolExecution"),
    "kind": text(
        "What it waits for; `unknown_outcome`: whether a call that was cut off has happened.",
        enum=[kind.value for kind in RequirementKind],
    ),
    "user_input_schema": many(free(), "The values that a person is asked for."),
    "user_feedback_schema": many(free(), "The questions that a person is asked."),
    "expires_at": number(f"When it is decided by what the tool declares, or its run ends, in {_AT}."),
    "started_at": number(f"When the call was begun, in {_AT}."),
    "member_agent_id": text("The member whose call it is; left out for the run's own."),
    "member_agent_name": text(),
    "member_run_id": text(),
}
_REQUIREMENT_ALWAYS = ("id", "created_at", "tool_execution", "kind")

_STEP: dict[str, Schema] = {
    "path": text("Its place in the run tree: turn, place in the turn, and the same below a delegation."),
    "kind": text(enum=[kind.value for kind in StepKind]),
    "state": text(enum=[state.value for state in StepState]),
    "attempt": whole("The attempt that wrote it last."),
    "started_at": number(_AT),
    "ended_at": nullable(number(_AT)),
    "usage": nullable(free("Tokens of a model call.")),
    "cost": nullable(number("Of a model call, in US dollars; null where its list price is not known.")),
}

_SENT: dict[str, Schema] = {
    "id": text("The message's id."),
    "run_id": text("The run whose model is to read it: the team's, or a member's."),
    "message": text("What was said."),
    "sent_by": text("The user, or `client`."),
    "created_at": number(_AT),
    "taken_at": nullable(number("When it was taken up, in unix seconds")),
    "taken_path": nullable(text("The model call that saw it: its path in the ledger.")),
    "next_run_id": nullable(text("The run of the session that it began, where no call of its own run saw it.")),
}
RUN_SCHEMAS: dict[str, Schema] = {
    "RunStatus": {"title": "RunStatus", "type": "string", "enum": list(STATUSES)},
    "RunInput": record(
        "RunInput",
        {
            "input_content": text("The message."),
            **{name: _media_list("") for name in ("images", "videos", "audios", "files")},
        },
        optional=["images", "videos", "audios", "files"],
    ),
    "RunMetrics": record(
        "RunMetrics", _METRICS, optional=list(_METRICS), description="What was used; `{}` until the run has ended."
    ),
    "RunError": record(
        "RunError",
        {
            "code": text("The kind of failure, for programs.", examples=["model_error"]),
            "message": text("The failure in words."),
            "retryable": flag("Whether the same run may succeed another time."),
            "partial": text("What a run whose budget is spent had said."),
            "error_id": text("Why a hook refused, for programs.", examples=["prompt_injection"]),
            "additional_data": free("What a hook told beside it."),
        },
        optional=["partial", "error_id", "additional_data"],
    ),
    "Message": record("Message", _MESSAGE, optional=[name for name in _MESSAGE if name not in _MESSAGE_ALWAYS]),
    "ToolExecution": record("ToolExecution", _TOOL),
    "TeamRunOutput": _output("TeamRunOutput", "team", member_responses=_MEMBER_RESPONSES),
    "RunOutput": _output("RunOutput", "agent"),
    "RunReceipt": record(
        "RunReceipt",
        _RECEIPT,
        description="Where a run stands.",
    ),
    "CancelReceipt": record(
        "CancelReceipt",
        {**_RECEIPT, "cancel": record("CancelRequest", _CANCEL, optional=["steps"])},
        optional=["cancel"],
        description="Where a run stands after a cancel; `cancel` is left out where it had ended before.",
    ),
    "RunRequirement": record(
        "RunRequirement", _REQUIREMENT, optional=[name for name in _REQUIREMENT if name not in _REQUIREMENT_ALWAYS]
    ),
    "RunStep": record("RunStep", _STEP),
    "RunMessage": record("RunMessage", _SENT),
    "StreamEvent": record(
        "StreamEvent",
        {
            "event": text("The event's name; `data` repeats it.", examples=["TeamRunContent"]),
            "id": text("The event's index in the run."),
            "data": text("The event, as one line of JSON.", contentMediaType="application/json"),
        },
        description="One event of the stream, which ends when the run does.",
    ),
    "TeamRunSchema": record(
        "TeamRunSchema", {**_LISTED, "team_id": text('"" for a run of an agent.')}, optional=_NULLS
    ),
    "RunSchema": record(
        "RunSchema",
        {**_LISTED, "agent_id": text('"" for a run of a team.'), "user_id": nullable(text())},
        optional=[*_NULLS, "user_id"],
    ),
}
