"""A stored conversation (pydantic-ai's message JSON) as Agno's list of messages.

A request or response of pydantic-ai holds parts; what a person would call a message becomes one of Agno's:
instructions and system prompts, the user's prompt, one assistant message per response, one tool message
per result.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.records import Usage
from musterd.wire.metrics import token_counts
from musterd.wire.times import unix_seconds

_MESSAGE_IDS = "6f1c9a0e-6f0f-5f0e-9a7b-0d2b8a3c4e51"
"""The namespace of message ids: the same run shows the same ids on every read."""

_TOOL_RETURNS = frozenset({"tool-return", "builtin-tool-return"})
_TOOL_CALLS = frozenset({"tool-call", "builtin-tool-call"})
_RETRIES = frozenset({"retry-prompt", "retry-feedback"})


def agno_messages(
    run_id: str, stored: Iterable[Mapping[str, Any]], created_at: int, stopping: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The messages of a run in Agno's shape.

    :param run_id: the run; message ids derive from it and the message's place.
    :param stored: messages as ``ModelMessagesTypeAdapter`` dumps them. ``metadata["musterd"]`` may hold
        ``seconds`` and ``first_token_seconds`` of a response, and ``from_history``; that of a tool's result ``args``,
        if the call was made with other arguments than the model's.
    :param created_at: unix seconds for messages that carry no time of their own.
    :param stopping: ids of the tool calls whose result ended the run.
    """
    return _Conversation(run_id, created_at, stopping).read(stored)


def text_of(content: Any) -> str:
    """The text of a part's content: itself, the texts of a list, or JSON; attachments are left out."""
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
    """The server's notes in the metadata of a message or a part."""
    metadata = item.get("metadata")
    return (metadata.get("musterd") if metadata else None) or {}


class _Conversation:
    """One walk over a stored conversation; remembers what later messages refer to."""

    def __init__(self, run_id: str, created_at: int, stopping: Collection[str]) -> None:
        self.run_id = run_id
        self.created_at = created_at
        self.stopping = stopping
        self.messages: list[dict[str, Any]] = []
        self.arguments: dict[str, Any] = {}
        self.instructions: str | None = None

    def read(self, stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        for message in stored:
            ours = _notes(message)
            if message["kind"] == "response":
                self._response(message, ours)
            else:
                self._request(message, bool(ours.get("from_history")))
        return self.messages

    def _add(self, role: str, content: Any, at: int | None, from_history: bool) -> dict[str, Any]:
        """A new message without its time, which stands last; content is left out when None."""
        message: dict[str, Any] = {
            "id": clock.derived_id(_MESSAGE_IDS, f"{self.run_id}/{len(self.messages)}"),
            "content": content,
            "from_history": from_history,
            "stop_after_tool_call": False,
            "role": role,
            "created_at": self.created_at if at is None else at,
        }
        if content is None:
            del message["content"]
        self.messages.append(message)
        return message

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
        call_id = part["tool_call_id"]
        message = self._add("tool", text_of(part["content"]), at, from_history)
        created_at = message.pop("created_at")
        message["stop_after_tool_call"] = call_id in self.stopping
        message["tool_call_id"] = call_id
        message["tool_name"] = part["tool_name"]
        made_with = _notes(part).get("args")
        message["tool_args"] = _arguments_object(self.arguments.get(call_id)) if made_with is None else made_with
        message["tool_call_error"] = part.get("outcome", "retried") != "success"
        message["created_at"] = created_at

    def _response(self, response: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
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
                continue  # a provider's own tool: its result is part of the answer
        content = "".join(texts)
        at = unix_seconds(response.get("timestamp"))
        from_history = bool(ours.get("from_history"))
        message = self._add("assistant", content if content or not calls else None, at, from_history)
        created_at = message.pop("created_at")
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        if calls:
            message["tool_calls"] = calls
        if metrics := _response_metrics(response.get("usage") or {}, ours):
            message["metrics"] = metrics
        message["created_at"] = created_at


def _call_object(part: Mapping[str, Any]) -> dict[str, Any]:
    """A call as the model made it, in OpenAI's words: the arguments are JSON text."""
    arguments = part["args"]
    if not isinstance(arguments, str):
        arguments = jsontext.dumps(arguments or {})
    return {
        "id": part["tool_call_id"],
        "function": {"arguments": arguments, "name": part["tool_name"]},
        "type": "function",
    }


def _arguments_object(arguments: Any) -> dict[str, Any]:
    """A call's arguments as an object; ``{}`` for text that is none: the tool message says what was wrong."""
    if isinstance(arguments, str):
        try:
            arguments = jsontext.loads(arguments)
        except ValueError:
            return {}
    return arguments if isinstance(arguments, dict) else {}


def _response_metrics(usage: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    details = usage.get("details") or {}
    metrics: dict[str, Any] = dict(
        token_counts(
            Usage(
                input_tokens=usage.get("input_tokens", 0),
                output_tokens=usage.get("output_tokens", 0),
                reasoning_tokens=usage.get("output_reasoning_tokens") or details.get("reasoning_tokens", 0),
                cache_read_tokens=usage.get("cache_read_tokens", 0),
                cache_write_tokens=usage.get("cache_write_tokens", 0),
            )
        )
    )
    if (seconds := ours.get("seconds")) is not None:
        metrics["duration"] = seconds
    if (first := ours.get("first_token_seconds")) is not None:
        metrics["time_to_first_token"] = first
    return metrics
