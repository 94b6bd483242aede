"""Checkpoints of a run, and the session that is forked from another one.

A checkpoint is a prefix of the run's conversation from which one can continue: any prefix that does not end between a
tool call and its result. Its name is the number of its messages. A workflow has no conversation; its checkpoints are
the ends of its steps.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.errors import BadRequest
from musterd.core.records import RunView
from musterd.core.step_views import FinishedStep, FinishedSteps
from musterd.wire.messages import Message
from musterd.wire.runs import AnyRunOutput, RunOutput, WorkflowRunOutput, messages_of, run_output
from musterd.wire.states import STATUS, RunStatus

PREVIEW_CHARACTERS = 120

_Reason = Literal["checkpoint", "end", "snapshot"]


class RunCheckpoint(TypedDict):
    """A checkpoint of a run, or another position in its conversation. Of a workflow, steps count as messages do."""

    checkpoint_id: Annotated[str | None, Field(description="Its number, from 1; null if it is not a checkpoint.")]
    run_id: str
    session_id: str
    message_index: Annotated[int, Field(ge=0, description="The number of messages so far, or of finished steps.")]
    continue_from: Annotated[int, Field(ge=0, description="The same.")]
    status: RunStatus
    reason: _Reason
    created_at: Annotated[int, Field(description="Unix time of its last message, or of the end of its last step.")]
    message_id: str | None
    message_role: str | None
    message_preview: Annotated[str | None, Field(description="The start of its last message.")]
    is_latest: Annotated[bool, Field(description="Whether it is the end of the conversation so far.")]
    from_step: Annotated[
        str | None,
        Field(description="The step with which a fork begins that takes over what happened so far; null at the end."),
    ]
    step_name: NotRequired[Annotated[str | None, Field(description="Of a workflow, its last step.")]]


class RunCheckpoints(TypedDict):
    """The checkpoints of a run."""

    run_id: str
    session_id: str
    checkpoints: list[RunCheckpoint]


class RunSnapshot(TypedDict):
    """A run as it was at a position in its conversation."""

    checkpoint: RunCheckpoint
    snapshot: Annotated[
        AnyRunOutput,
        Field(description="The run with the messages, tools and requirements that it had then."),
    ]


class ForkedSession(TypedDict):
    """A new session that begins with copies of another session's runs."""

    session_id: str
    forked_from_session_id: str


def checkpoint_list(view: RunView) -> RunCheckpoints:
    """The checkpoints of a run, in the order of its conversation; none before a conversation is stored."""
    checkpoints = _checkpoints(view, messages_of(view) or [])
    return {"run_id": view.row.run_id, "session_id": view.row.session_id, "checkpoints": checkpoints}


def checkpoint_snapshot(view: RunView, message_index: int) -> RunSnapshot:
    """The run as it was after ``message_index`` messages; between a tool call and its result, as before the call.

    :raises BadRequest: the run has fewer messages.
    """
    messages = messages_of(view) or []
    if not 0 <= message_index <= len(messages):
        raise BadRequest(f"message_index must be between 0 and {len(messages)}")
    checkpoint = _checkpoint(view, messages, message_index, "snapshot")
    ids = {entry["message_index"]: entry["checkpoint_id"] for entry in _checkpoints(view, messages)}
    checkpoint["checkpoint_id"] = ids.get(message_index)
    kept = messages[: max(end for end in _boundaries(messages) if end <= message_index)]
    calls = _tool_calls(kept)
    run = run_output(view)
    snapshot = cast(RunOutput, run)
    snapshot["messages"] = kept
    snapshot["last_checkpoint_at_message_index"] = len(kept)
    if "tools" in snapshot:
        snapshot["tools"] = [tool for tool in snapshot["tools"] if tool["tool_call_id"] in calls]
    if "requirements" in snapshot:
        requirements = snapshot["requirements"]
        snapshot["requirements"] = [item for item in requirements if item["tool_execution"]["tool_call_id"] in calls]
    return {"checkpoint": checkpoint, "snapshot": snapshot}


def step_checkpoints(view: RunView, finished: FinishedSteps) -> RunCheckpoints:
    """The checkpoints of a workflow's run: one for each finished step."""
    numbers = range(1, len(finished.steps) + 1)
    checkpoints = [_step_checkpoint(view, finished.steps, number) for number in numbers]
    return {"run_id": view.row.run_id, "session_id": view.row.session_id, "checkpoints": checkpoints}


def step_snapshot(view: RunView, finished: FinishedSteps, count: int) -> RunSnapshot:
    """The workflow's run as it was after ``count`` finished steps: with the results of what had finished by then.

    :raises BadRequest: the run has fewer finished steps.
    """
    steps = finished.steps
    if not 0 <= count <= len(steps):
        raise BadRequest(f"message_index must be between 0 and {len(steps)}")
    checkpoint = _step_checkpoint(view, steps, count)
    checkpoint["reason"] = "snapshot"
    snapshot = cast(WorkflowRunOutput, run_output(view))
    next_path = checkpoint["from_step"]
    if next_path is not None or not count:
        depth = view.row.path.count("/") + 1 if view.row.path else 0
        next_number = 0 if next_path is None else int(next_path.split("/")[depth][1:])
        kept = [
            result
            for place, result in enumerate(snapshot["step_results"])  # of a function in the order of its calls
            if finished.numbers.get(result["step_id"] or "", place) < next_number
        ]
        snapshot["step_results"] = kept
        snapshot["content"] = kept[-1]["content"] if kept else None
    return {"checkpoint": checkpoint, "snapshot": snapshot}


def _step_checkpoint(view: RunView, steps: Sequence[FinishedStep], count: int) -> RunCheckpoint:
    last = steps[count - 1] if count else None
    return {
        "checkpoint_id": str(count) if count else None,
        "run_id": view.row.run_id,
        "session_id": view.row.session_id,
        "message_index": count,
        "continue_from": count,
        "status": STATUS[view.row.state],
        "reason": "end" if count == len(steps) else "checkpoint",
        "created_at": int(last.ended_at if last else view.row.created_at),
        "message_id": None,
        "message_role": None,
        "message_preview": None,
        "is_latest": count == len(steps),
        "from_step": last.next_path if last else None,
        "step_name": last.name if last else None,
    }


def _checkpoints(view: RunView, messages: Sequence[Message]) -> list[RunCheckpoint]:
    ends = _boundaries(messages)[1:]
    checkpoints = [_checkpoint(view, messages, end, "end" if end == len(messages) else "checkpoint") for end in ends]
    for number, checkpoint in enumerate(checkpoints, 1):
        checkpoint["checkpoint_id"] = str(number)
    return checkpoints


def _checkpoint(view: RunView, messages: Sequence[Message], index: int, reason: _Reason) -> RunCheckpoint:
    last = messages[index - 1] if index else None
    text = last.get("content") if last else None
    return {
        "checkpoint_id": None,
        "run_id": view.row.run_id,
        "session_id": view.row.session_id,
        "message_index": index,
        "continue_from": index,
        "status": STATUS[view.row.state],
        "reason": reason,
        "created_at": last["created_at"] if last else int(view.row.created_at),
        "message_id": last["id"] if last else None,
        "message_role": last["role"] if last else None,
        "message_preview": None if text is None else _preview(text),
        "is_latest": index == len(messages),
        "from_step": _next_turn(view, messages, index),
    }


def _next_turn(view: RunView, messages: Sequence[Message], index: int) -> str | None:
    """The turn after so many messages; None: there is none, or it is of a member's run, which is not forked alone."""
    if index == len(messages) or view.row.parent_id is not None:
        return None
    answers = [one for one in messages[:index] if one["role"] == "assistant"]
    return f"t{len(answers)}/m"


def _preview(text: str) -> str:
    line = text.replace("\n", " ").strip()
    return line if len(line) <= PREVIEW_CHARACTERS else f"{line[: PREVIEW_CHARACTERS - 1]}..."


def _boundaries(messages: Sequence[Message]) -> list[int]:
    """The numbers of messages after which every tool call has its result, from 0 to the end of the conversation."""
    boundaries, open_calls = [0], set[str | None]()
    for end, message in enumerate(messages, 1):
        open_calls.update(call["id"] for call in message.get("tool_calls", ()))
        open_calls.discard(message.get("tool_call_id"))
        # The end is always a boundary, even of a run that was interrupted in a call or waits for a person.
        if not open_calls or end == len(messages):
            boundaries.append(end)
    return boundaries


def _tool_calls(messages: Sequence[Message]) -> set[str]:
    """The ids of the tool calls in ``messages``, also of those with a result only."""
    called = {call["id"] for message in messages for call in message.get("tool_calls", ())}
    return called | {message["tool_call_id"] for message in messages if "tool_call_id" in message}
