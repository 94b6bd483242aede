"""Checkpoints of a run: its conversation up to a message, as far as one can go on from there.

The conversation may be cut anywhere but between a tool call and its result. A checkpoint is named by how many messages
it holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from musterd.core.errors import BadRequest
from musterd.core.records import RunView
from musterd.wire.runs import messages_of, run_output
from musterd.wire.states import STATUS

PREVIEW_CHARACTERS = 120


def checkpoint_list(view: RunView) -> dict[str, Any]:
    """The checkpoints of a run, in the order of its conversation; none while there is no stored conversation."""
    found = _checkpoints(view, messages_of(view) or [])
    return {"run_id": view.row.run_id, "session_id": view.row.session_id, "checkpoints": found}


def checkpoint_snapshot(view: RunView, message_index: int) -> dict[str, Any]:
    """The run as it was after so many messages; inside an exchange with tools, as it was before that.

    :raises BadRequest: it never had so many.
    """
    messages = messages_of(view) or []
    if not 0 <= message_index <= len(messages):
        raise BadRequest(f"message_index must be between 0 and {len(messages)}")
    checkpoint = _entry(view, messages, message_index, "snapshot")
    known = {entry["message_index"]: entry["checkpoint_id"] for entry in _checkpoints(view, messages)}
    checkpoint["checkpoint_id"] = known.get(message_index)
    kept = messages[: max(end for end in _boundaries(messages) if end <= message_index)]
    snapshot = {**run_output(view), "messages": kept, "last_checkpoint_at_message_index": len(kept)}
    calls = _calls(kept)
    for name, place in (("tools", ()), ("requirements", ("tool_execution",))):
        if name in snapshot:
            snapshot[name] = [item for item in snapshot[name] if _call_of(item, place) in calls]
    return {"checkpoint": checkpoint, "snapshot": snapshot}


def _checkpoints(view: RunView, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ends = _boundaries(messages)[1:]
    entries = [_entry(view, messages, end, "end" if end == len(messages) else "checkpoint") for end in ends]
    for number, entry in enumerate(entries, 1):
        entry["checkpoint_id"] = str(number)
    return entries


def _entry(view: RunView, messages: Sequence[Mapping[str, Any]], index: int, reason: str) -> dict[str, Any]:
    message = messages[index - 1] if index else {}
    words = message.get("content")
    return {
        "checkpoint_id": None,
        "run_id": view.row.run_id,
        "session_id": view.row.session_id,
        "message_index": index,
        "continue_from": index,
        "status": STATUS[view.row.state],
        "reason": reason,
        "created_at": message.get("created_at", int(view.row.created_at)),
        "message_id": message.get("id"),
        "message_role": message.get("role"),
        "message_preview": None if words is None else _preview(str(words)),
        "is_latest": index == len(messages),
    }


def _preview(text: str) -> str:
    line = text.replace("\n", " ").strip()
    return line if len(line) <= PREVIEW_CHARACTERS else f"{line[: PREVIEW_CHARACTERS - 1]}..."


def _boundaries(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Where every call that was made has its result: after so many messages. The start is one, and so is the end."""
    found, open_calls = [0], set[Any]()
    for place, message in enumerate(messages, 1):
        open_calls.update(call["id"] for call in message.get("tool_calls", ()))
        open_calls.discard(message.get("tool_call_id"))
        if not open_calls or place == len(messages):  # what was cut off in its calls, or waits for a person, ends too
            found.append(place)
    return found


def _calls(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    made = {call["id"] for message in messages for call in message.get("tool_calls", ())}
    return made | {message["tool_call_id"] for message in messages if "tool_call_id" in message}


def _call_of(item: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    for name in place:
        item = item[name]
    return item["tool_call_id"]
