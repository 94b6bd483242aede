"""A run as clients read it: TeamRunOutput and RunOutput, the answers of POST (stream=false) and of GET.

Keys whose value is None are left out. Key order is the peer's; what is ours stands last.
"""

import base64
import binascii
from typing import Any

from musterd.core.errors import RunFailed
from musterd.core.records import Input, Output, RunRow, RunView
from musterd.core.states import RunState
from musterd.wire.messages import agno_messages
from musterd.wire.metrics import run_metrics
from musterd.wire.requirements import requirement_objects
from musterd.wire.states import STATUS
from musterd.wire.tools import tool_object

_MEDIA_NAMES = (("images", "images"), ("videos", "videos"), ("audio", "audios"), ("files", "files"))


def run_output(view: RunView, *, is_post: bool = False, with_members: bool = False) -> dict[str, Any]:
    """The run as TeamRunOutput, or as RunOutput for a run of an agent.

    :param is_post: whether this answers the POST that ran it: then there is ``tools: []`` where GET has no
        ``tools``, and no ``events: []``.
    :param with_members: whether ``member_responses`` holds the outputs of ``view.members``: for teams that
        declare ``store_member_responses``; else it is empty.
    """
    if view.row.component_kind == "agent":
        return _agent_output(view, is_post)
    value = _team_output(view, is_post)
    if with_members:
        value["member_responses"] = [run_output(member, is_post=True) for member in view.members]
    return value


def accepted(row: RunRow) -> dict[str, str]:
    """The answer 202 to ``background=true``: exactly these three keys."""
    return {"run_id": row.run_id, "session_id": row.session_id, "status": "PENDING"}


def settled(row: RunRow) -> dict[str, str]:
    """The answer to a wait that a shutdown cut: where the run stands."""
    return {"run_id": row.run_id, "session_id": row.session_id, "status": STATUS[row.state]}


def cancelled(view: RunView) -> dict[str, Any]:
    """The answer to a cancel request: where the run stands, and what became of the steps that were under way."""
    row = view.row
    cancel = {"cancel": _cancel_object(row, view.output)} if row.cancel_requested_at is not None else {}
    return {**settled(row), **cancel}


def error_event(view: RunView) -> dict[str, Any]:
    """The event that tells why a run ended in ERROR, as ``events`` of the run shows it."""
    event = _last_event(view, "RunError")
    event["content"] = content_of(view)
    error = view.output.error if view.output else None
    if error:
        event["error_type"] = error["code"]
        event.update((name, error[name]) for name in ("error_id", "additional_data") if name in error)
    return event


def paused_event(view: RunView) -> dict[str, Any]:
    """The event that tells what a paused run waits for, as ``events`` of the run shows it."""
    event = _last_event(view, "RunPaused")
    event["content"] = content_of(view) or ""
    requirements = requirement_objects(view.output.requirements if view.output else (), view.row.run_id)
    event["tools"] = [found["tool_execution"] for found in requirements]
    event["requirements"] = requirements
    return event


def last_event(view: RunView) -> dict[str, Any] | None:
    """The event that the run ended or paused with, as lists show it; None while it waits or works.

    A list of runs needs it: agno-client takes a run that has content and no event for one that failed early, and does
    not show what it said.
    """
    match view.row.state:
        case RunState.ERROR:
            return error_event(view)
        case RunState.PAUSED:
            return paused_event(view)
        case RunState.CANCELLED:
            return {**_last_event(view, "RunCancelled"), "reason": cancel_reason(view.row.run_id)}
        case RunState.COMPLETED:
            event = _last_event(view, "RunCompleted")
            event["content"] = content_of(view)
            event["content_type"] = view.output.content_type if view.output else "str"
            return event
    return None


def _last_event(view: RunView, name: str) -> dict[str, Any]:
    row = view.row
    kind = row.component_kind
    event: dict[str, Any] = {
        "created_at": int(row.ended_at or row.created_at),
        "event": f"Team{name}" if kind == "team" else name,
        f"{kind}_id": row.component_id,
        f"{kind}_name": row.component_name,
        "run_id": row.run_id,
    }
    if row.parent_id:
        event["parent_run_id"] = row.parent_id
    event["session_id"] = row.session_id
    return event


def content_of(view: RunView) -> Any:
    """What the run says: its answer, the error in words, or what a cancelled run had produced."""
    state, output = view.row.state, view.output
    content = output.content if output else None
    if state is RunState.ERROR:
        error = output.error if output else None
        return (error or {}).get("message") or content or RunFailed().message
    if state is RunState.CANCELLED and (content in (None, "") or (output and output.requirements)):
        return cancel_reason(view.row.run_id)
    return content


def cancel_reason(run_id: str) -> str:
    """What a cancelled run says when it had produced nothing."""
    return f"Run {run_id} was cancelled"


def input_object(asked: Input) -> dict[str, Any]:
    """``input`` of a run: the message and the media that came with it."""
    value: dict[str, Any] = {"input_content": asked.message}
    for name, shown in _MEDIA_NAMES:
        if items := asked.media.get(name):
            value[shown] = [_media_object(item) for item in items]
    return value


def media_of(output: Output | None) -> dict[str, list[dict[str, Any]]]:
    """The media that a run has produced, under the peer's names; those of which there are none are left out."""
    media = output.media if output is not None else {}
    return {name: media[name] for name in ("images", "videos", "audio", "files") if media.get(name)}


def messages_of(view: RunView) -> list[dict[str, Any]] | None:
    """The run's conversation in Agno's shape, or None while there is none."""
    if not view.messages:
        return None
    tools = view.output.tools if view.output else ()
    stopping = {call.id for call in tools if call.stops_run}
    return agno_messages(view.row.run_id, view.messages, int(view.row.created_at), stopping)


def metrics_of(view: RunView) -> dict[str, Any]:
    """``metrics`` of the run: ``{}`` until it has ended or paused."""
    row = view.row
    return run_metrics(view.output, row.model, row.model_provider) if row.state.is_settled else {}


def tools_of(view: RunView) -> list[dict[str, Any]]:
    """The run's tool calls, in order; those that a paused run waits for as its requirements show them."""
    if view.output is None:
        return []
    shown = requirement_objects(view.output.requirements, view.row.run_id)
    waiting = {item["tool_execution"]["tool_call_id"]: item["tool_execution"] for item in shown}
    is_paused = view.row.state is RunState.PAUSED
    tools = [tool_object(call) for call in view.output.tools]
    return [waiting.get(tool["tool_call_id"], tool) if is_paused else tool for tool in tools]


def _team_output(view: RunView, is_post: bool) -> dict[str, Any]:
    row, output = view.row, view.output
    value: dict[str, Any] = {
        "run_id": row.run_id,
        "team_id": row.component_id,
        "team_name": row.component_name,
        "session_id": row.session_id,
    }
    if row.parent_id:
        value["parent_run_id"] = row.parent_id
    if row.user_id is not None:
        value["user_id"] = row.user_id
    value["input"] = input_object(view.input)
    _add_content(value, view)
    value["model"] = row.model
    value["model_provider"] = row.model_provider
    value["member_responses"] = []
    if output and output.session_state and row.state.is_settled:
        value["session_state"] = output.session_state
    value["created_at"] = int(row.created_at)
    _add_events(value, view, is_post)
    value["metrics"] = metrics_of(view)
    value["status"] = STATUS[row.state]
    _add_conversation(value, view, is_post)
    _add_ours(value, view)
    return value


def _agent_output(view: RunView, is_post: bool) -> dict[str, Any]:
    row, output = view.row, view.output
    value: dict[str, Any] = {
        "run_id": row.run_id,
        "agent_id": row.component_id,
        "agent_name": row.component_name,
        "session_id": row.session_id,
    }
    if row.user_id is not None:
        value["user_id"] = row.user_id
    if row.parent_id:
        value["parent_run_id"] = row.parent_id
    _add_content(value, view)
    value["model"] = row.model
    value["model_provider"] = row.model_provider
    if output and output.session_state and row.state.is_settled:
        value["session_state"] = output.session_state
    value["created_at"] = int(row.created_at)
    value["status"] = STATUS[row.state]
    value["metrics"] = metrics_of(view)
    _add_events(value, view, is_post)
    _add_conversation(value, view, is_post)
    value["input"] = input_object(view.input)
    _add_ours(value, view)
    return value


def _add_content(value: dict[str, Any], view: RunView) -> None:
    if not view.row.state.is_settled:
        value["content_type"] = "str"
        return
    content, output = content_of(view), view.output
    if content is not None:
        value["content"] = content
    value["content_type"] = output.content_type if output and content is output.content else "str"
    if output and output.reasoning:
        value["reasoning_content"] = output.reasoning
    if output and output.reasoning_steps:
        value["reasoning_steps"] = output.reasoning_steps


def _add_events(value: dict[str, Any], view: RunView, is_post: bool) -> None:
    state = view.row.state
    if state is RunState.ERROR:
        value["events"] = [error_event(view)]
    elif state is RunState.PAUSED:
        value["events"] = [paused_event(view)]
    elif not (is_post and state.is_final):
        value["events"] = []


def _add_conversation(value: dict[str, Any], view: RunView, is_post: bool) -> None:
    state, output = view.row.state, view.output
    if not state.is_settled:
        return
    if messages := messages_of(view):
        value["messages"] = messages
    if (metadata := view.input.options.get("metadata")) is not None:
        value["metadata"] = metadata
    tools = tools_of(view)
    if state is RunState.PAUSED and output:
        value["requirements"] = requirement_objects(output.requirements, view.row.run_id)
    if tools or (is_post and state is RunState.COMPLETED):
        value["tools"] = tools
    value.update(media_of(output))


def _add_ours(value: dict[str, Any], view: RunView) -> None:
    """What the peer does not tell: attempts, times, place in the queue, cancel and error."""
    row = view.row
    if row.parent_id is None:
        value["attempts"] = row.attempt
    for name in ("forked_from", "copied_from", "queued_at", "started_at", "first_token_at", "ended_at"):
        if (known := getattr(row, name)) is not None:
            value[name] = known
    if view.queue_position is not None and STATUS[row.state] == "PENDING":
        value["queue_position"] = view.queue_position
    if row.cancel_requested_at is not None:
        value["cancel"] = _cancel_object(row, view.output)
    if view.output is not None and view.output.cost:
        value["cost"] = view.output.cost
    if budget := view.budget or (view.output.budget if view.output is not None else None):
        value["budget"] = budget
    if row.state is RunState.ERROR:
        value["error"] = _error_object(view.output, row)


def _cancel_object(row: RunRow, output: Output | None) -> dict[str, Any]:
    """Who asked for it when; once the run has stopped, what became of each step that was under way."""
    value: dict[str, Any] = {"requested_at": row.cancel_requested_at, "by": row.cancel_by}
    if row.state is RunState.CANCELLED:
        value["steps"] = output.cut_off if output else []
    return value


def _error_object(output: Output | None, row: RunRow) -> dict[str, Any]:
    error = (output.error if output else None) or {}
    more = {name: error[name] for name in ("error_id", "additional_data", "partial") if error.get(name)}
    return {
        "code": error.get("code") or row.error_code or RunFailed.run_code,
        "message": error.get("message") or RunFailed().message,
        "retryable": bool(error.get("retryable", False)),
        **more,
    }


def _media_object(item: dict[str, Any]) -> dict[str, Any]:
    """One attachment; a text file's content is shown as text, as the peer does, any other as base64."""
    content = item.get("content")
    if content is None or not str(item.get("mime_type", "")).startswith("text/"):
        return item
    try:
        return {**item, "content": base64.b64decode(content).decode("utf-8")}
    except (binascii.Error, UnicodeDecodeError):
        return item
