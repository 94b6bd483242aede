"""Converts a stored conversation (pydantic-ai's message JSON) to AgentOS's list of messages.

A request or response of pydantic-ai consists of parts. AgentOS has one message for the instructions, and one for each
system prompt, user prompt, response and tool result.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import clock, jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Usage
from musterd.wire.metrics import Durations, MessageMetrics, token_counts
from musterd.wire.times import unix_seconds

_MESSAGE_IDS = "6f1c9a0e-6f0f-5f0e-9a7b-0d2b8a3c4e51"
"""The namespace of message ids. They are derived, so that a message has the same id on every read."""

_TOOL_RETURNS = frozenset({"tool-return", "builtin-tool-return"})
_TOOL_CALLS = frozenset({"tool-call", "builtin-tool-call"})
_RETRIES = frozenset({"retry-prompt", "retry-feedback"})

_Role = Literal["system", "user", "assistant", "tool"]


class CalledFunction(TypedDict):
    """The function that a model calls, with its arguments as JSON text."""

    arguments: str
    name: str


class MessageToolCall(TypedDict):
    """A tool call as the model made it, in OpenAI's format."""

    id: str
    function: CalledFunction
    type: Literal["function"]


class _Text(TypedDict, total=False):
    content: Annotated[str, Field(description="Absent if the model only called tools.")]


class _Details(TypedDict, total=False):
    """Keys of messages from the assistant, and of tool results."""

    reasoning_content: str
    tool_calls: list[MessageToolCall]
    metrics: MessageMetrics
    tool_call_id: str
    tool_name: str
    tool_args: JsonObject
    tool_call_error: bool


class Message(_Text, _Details):
    """A message of the conversation with the model."""

    id: str
    role: _Role
    from_history: Annotated[bool, Field(description="Whether it comes from an earlier run. Only exports show these.")]
    stop_after_tool_call: bool
    created_at: int


_NO_DETAILS: _Details = {}


def agno_messages(
    run_id: str, stored: Iterable[Mapping[str, Any]], created_at: int, stopping: Collection[str] = ()
) -> list[Message]:
    """The messages of a run as AgentOS shows them.

    :param run_id: the run. Message ids are derived from it and the message's position.
    :param stored: messages as ``ModelMessagesTypeAdapter`` dumps them. ``metadata["musterd"]`` of a message may contain
        ``from_history``, and of a response ``seconds`` and ``first_token_seconds``; that of a tool's result contains
        ``args`` if the call was made with other arguments than the model's.
    :param created_at: Unix time of messages that have no time of their own.
    :param stopping: ids of the tool calls whose result finished the run.
    """
    return _Conversation(run_id, created_at, stopping).read(stored)


def text_of(content: Any) -> str:
    """The text of a part's content: itself, the texts of a list, or JSON. Attachments are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and any(isinstance(item, str) or _has_kind(item) for item in content):
        texts = (item if isinstance(item, str) else item.get("content") for item in content if _is_text(item))
        return "\n".join(text for text in texts if isinstance(text, str))
    return "" if content is None else jsontext.dumps(content)


def _has_kind(item: Any) -> bool:
    return isinstance(item, dict) and "kind" in item


def _is_text(item: Any) -> bool:
    return isinstance(item, str) or (_has_kind(item) and item["kind"] == "text-content")


def _notes(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Our own notes in the metadata of a message or a part."""
    metadata = item.get("metadata")
    return (metadata.get("musterd") if metadata else None) or {}


class _Conversation:
    """One pass over a stored conversation. It keeps what later messages refer to."""

    def __init__(self, run_id: str, created_at: int, stopping: Collection[str]) -> None:
        self.run_id = run_id
        self.created_at = created_at
        self.stopping = stopping
        self.messages: list[Message] = []
        self.arguments: dict[str, Json] = {}
        self.instructions: str | None = None

    def read(self, stored: Iterable[Mapping[str, Any]]) -> list[Message]:
        for message in stored:
            notes = _notes(message)
            if message["kind"] == "response":
                self._response(message, notes)
            else:
                self._request(message, bool(notes.get("from_history")))
        return self.messages

    def _add(
        self,
        role: _Role,
        content: str | None,
        at: int | None,
        from_history: bool,
        details: _Details = _NO_DETAILS,
        stops_run: bool = False,
    ) -> None:
        text: _Text = {} if content is None else {"content": content}
        self.messages.append(
            {
                "id": clock.derived_id(_MESSAGE_IDS, f"{self.run_id}/{len(self.messages)}"),
                **text,
                "from_history": from_history,
                "stop_after_tool_call": stops_run,
                "role": role,
                **details,
                "created_at": self.created_at if at is None else at,
            }
        )

    def _request(self, request: Mapping[str, Any], from_history: bool) -> None:
        at = unix_seconds(request.get("timestamp"))
        instructions = request.get("instructions")
        if instructions and instructions != self.instructions:
            self.instructions = instructions
            self._add("system", instructions, at, from_history)
        for part in request["parts"]:
            kind = part["part_kind"]
            at = unix_seconds(part.get("timestamp"))
            if kind == "system-prompt":
                self._add("system", part["content"], at, from_history)
            elif kind == "user-prompt":
                self._add("user", text_of(part["content"]), at, from_history)
            elif kind in _TOOL_RETURNS:
                self._tool_result(part, at, from_history)
            elif kind in _RETRIES:
                self._retry(part, at, from_history)

    def _retry(self, part: Mapping[str, Any], at: int | None, from_history: bool) -> None:
        if part.get("tool_name"):
            self._tool_result(part, at, from_history)
        else:
            self._add("user", text_of(part["content"]), at, from_history)

    def _tool_result(self, part: Mapping[str, Any], at: int | None, from_history: bool) -> None:
        call_id, changed_args = part["tool_call_id"], _notes(part).get("args")
        details: _Details = {
            "tool_call_id": call_id,
            "tool_name": part["tool_name"],
            "tool_args": _arguments_object(self.arguments.get(call_id)) if changed_args is None else changed_args,
            "tool_call_error": part.get("outcome", "retried") != "success",
        }
        self._add("tool", text_of(part["content"]), at, from_history, details, stops_run=call_id in self.stopping)

    def _response(self, response: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[MessageToolCall] = []
        for part in response["parts"]:
            kind = part["part_kind"]
            if kind == "text":
                texts.append(part["content"])
            elif kind == "thinking":
                thoughts.append(part["content"] or "")
            elif kind in _TOOL_CALLS:
                self.arguments[part["tool_call_id"]] = part["args"]
                calls.append(_call_object(part))
            elif kind in _TOOL_RETURNS:
                continue  # a tool that the provider executed: its result is part of the text
        content = "".join(texts)
        details: _Details = {}
        if thoughts:
            details["reasoning_content"] = "".join(thoughts)
        if calls:
            details["tool_calls"] = calls
        if metrics := _response_metrics(response.get("usage") or {}, notes):
            details["metrics"] = metrics
        at, from_history = unix_seconds(response.get("timestamp")), bool(notes.get("from_history"))
        self._add("assistant", content if content or not calls else None, at, from_history, details)


def _call_object(part: Mapping[str, Any]) -> MessageToolCall:
    arguments = part["args"]
    if not isinstance(arguments, str):
        arguments = jsontext.dumps(arguments or {})
    return {
        "id": part["tool_call_id"],
        "function": {"arguments": arguments, "name": part["tool_name"]},
        "type": "function",
    }


def _arguments_object(arguments: Json) -> JsonObject:
    """A call's arguments as an object; ``{}`` if they are invalid, which the content of the tool message explains."""
    if isinstance(arguments, str):
        try:
            arguments = jsontext.loads(arguments)
        except ValueError:
            return {}
    return arguments if isinstance(arguments, dict) else {}


def _response_metrics(usage: Mapping[str, Any], notes: Mapping[str, Any]) -> MessageMetrics:
    details = usage.get("details") or {}
    counts = token_counts(
        Usage(
            input_tokens=usage.get("input_tokens", 0),
            output_tokens=usage.get("output_tokens", 0),
            reasoning_tokens=usage.get("output_reasoning_tokens") or details.get("reasoning_tokens", 0),
            cache_read_tokens=usage.get("cache_read_tokens", 0),
            cache_write_tokens=usage.get("cache_write_tokens", 0),
        )
    )
    durations: Durations = {}
    if (seconds := notes.get("seconds")) is not None:
        durations["duration"] = seconds
    if (first_token_seconds := notes.get("first_token_seconds")) is not None:
        durations["time_to_first_token"] = first_token_seconds
    return {**counts, **durations}
