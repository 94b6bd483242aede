"""Checks the messages of a server before the SDK sees them.

The SDK accepts messages of any size, parses and validates them on the event loop, and rejects a message as a whole.
Here messages have limits, long ones are parsed in a thread, unusable tools are removed from a list of tools, and a
result is reduced to one text.
"""

import json
import math
import re
from collections.abc import Callable
from enum import StrEnum

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.threads import in_thread
from musterd.mcp.limits import Limits
from musterd.mcp.results import UnusableResult, as_one_text, readable_tools

INLINE_BYTES = 32 * 1024
"""Longer messages are parsed in a thread."""
OPEN_REQUESTS = 16
"""Requests of the server that may wait for an answer. The SDK starts a task for each; further ones are ignored."""
MAX_VALUES = 100_000
"""Most JSON values in a message: a parsed value takes many times the memory of its text."""
MAX_LEVELS = 120
"""If a message is nested too deep to be parsed, everything below this level is replaced."""
TOO_DEEP = "(nested too deep)"
CAUSE = "io.musterd/cause"
INTERNAL_ERROR = -32603
# Codes that the SDK also uses for its own errors: connection closed, and session ended.
_AMBIGUOUS_CODES = frozenset({-32000, -32600, 32600})
# A string without an end is a token too. If it were not, each quote in it would be tried as the beginning of a string.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)


class Cause(StrEnum):
    """Why a request failed; in the ``data`` of an error under ``CAUSE``, unless the SDK itself made the error."""

    SERVER = "server"  # the server reported an error
    UNUSABLE = "unusable"  # the request was made, but its answer cannot be used
    NOT_SENT = "not_sent"  # the server could not be reached
    FORGOTTEN = "forgotten"  # the server no longer knows the session
    LOST = "lost"  # it is not known whether the request took effect


class UnreadableMessage(Exception):
    """A server sent something that is not a valid message; the text says why."""


class Inbox:
    """Reads the messages of one connection.

    :param on_tools_changed: called when the server announces that its list of tools has changed.
    :ivar announces_changes: whether the server makes such announcements. Since protocol version 2026-07-28 servers
        state how long a list is valid instead, and the SDK caches it that long.
    :ivar is_broken: whether no more messages can be read.
    """

    def __init__(self, limits: Limits, on_tools_changed: Callable[[], object]) -> None:
        self.limits = limits
        self.announces_changes = False
        self.is_broken = False
        self._open_requests: set[str] = set()
        self._on_tools_changed = on_tools_changed

    async def read(self, raw: bytes) -> JsonObject | None:
        """Parse a message and return the form that the SDK may see, or None if the SDK does not need it.

        :raises UnreadableMessage: it is not a valid message.
        """
        if len(raw) > self.limits.message_bytes:
            raise UnreadableMessage(self.too_long)
        if len(raw) <= INLINE_BYTES:
            message = _read(raw, self.limits)
        else:
            message = await in_thread(_read, raw, self.limits)
        if message.get("method") == "notifications/message":  # the server's own log
            return None
        if "method" in message and "id" in message:
            if len(self._open_requests) >= OPEN_REQUESTS:
                return None
            self._open_requests.add(json.dumps(message["id"]))
        if message.get("method") == "notifications/tools/list_changed":
            self._on_tools_changed()
        result = message.get("result")
        if isinstance(result, dict) and "protocolVersion" in result:
            capabilities = result.get("capabilities")
            tools = capabilities.get("tools") if isinstance(capabilities, dict) else None
            self.announces_changes = isinstance(tools, dict) and bool(tools.get("listChanged"))
        return message

    def note_sent(self, message: JsonObject) -> None:
        """Record a message that was sent to the server: it may answer one of the server's requests."""
        if "method" not in message:
            self._open_requests.discard(json.dumps(message.get("id")))

    @property
    def too_long(self) -> str:
        """The reason to give for a message that is too long."""
        return f"it is longer than {self.limits.message_bytes} bytes (MUSTERD_MCP_MESSAGE_BYTES)"


def error_reply(request_id: Json, cause: Cause, reason: str, code: int = INTERNAL_ERROR) -> JsonObject:
    """An error reply to a request, made here instead of by the server."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": reason, "data": {CAUSE: cause}}}


def unusable_reply(request_id: Json, reason: str) -> JsonObject:
    """An error reply that replaces a reply that cannot be used."""
    return error_reply(request_id, Cause.UNUSABLE, reason)


def cause_of(data: object) -> Cause | None:
    """The cause that the ``data`` of an error holds."""
    return Cause(data[CAUSE]) if isinstance(data, dict) and CAUSE in data else None


def _read(raw: bytes, limits: Limits) -> JsonObject:
    try:
        message = _parsed(raw.decode())
        if not isinstance(message, dict):
            raise UnreadableMessage("it is not a JSON object")
        _require_json_rpc(message)
        message = _checked(message, limits)
        # The bytes were valid UTF-8, so only an escape can have made a lone surrogate.
        return _without_lone_surrogates(message) if b"\\u" in raw else message
    except RecursionError as error:
        raise UnreadableMessage("it is nested too deep") from error
    except ValueError as error:
        raise UnreadableMessage("it is not JSON") from error


def _require_json_rpc(message: JsonObject) -> None:
    """Raise UnreadableMessage if it is not JSON-RPC: the SDK would drop such a reply, and its call would time out."""
    if message.get("jsonrpc") != "2.0":
        raise UnreadableMessage("it is not JSON-RPC 2.0")
    if "method" in message:
        if not isinstance(message["method"], str) or not isinstance(message.get("params"), dict | None):
            raise UnreadableMessage("it is not a request or a notification of JSON-RPC")
        return
    if isinstance(message.get("result"), dict):
        return
    error = message.get("error")
    if not isinstance(error, dict) or type(error.get("code")) is not int or not isinstance(error.get("message"), str):
        raise UnreadableMessage("it has neither a result nor an error")


def _checked(message: JsonObject, limits: Limits) -> JsonObject:
    result, error = message.get("result"), message.get("error")
    try:
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            message["result"] = readable_tools(result, limits)
        elif isinstance(result, dict) and (isinstance(result.get("content"), list) or "structuredContent" in result):
            message["result"] = as_one_text(result, limits)
        elif isinstance(error, dict) and _is_ambiguous(error):
            message["error"] = {**error, "data": {CAUSE: Cause.SERVER}}
    except UnusableResult as problem:
        return unusable_reply(message.get("id"), str(problem))
    return message


def _is_ambiguous(error: JsonObject) -> bool:
    """Whether an error from the server could be mistaken for one that the SDK or musterd made."""
    data = error.get("data")
    return error.get("code") in _AMBIGUOUS_CODES or (isinstance(data, dict) and CAUSE in data)


def _parsed(text: str) -> Json:
    # The cheap upper bound first; counting exactly takes long, and is seldom needed.
    if jsontext.max_values(text) > MAX_VALUES and _has_many_values(text):
        raise UnreadableMessage(f"it contains more than {MAX_VALUES} values")
    try:
        return _loads(text)
    except RecursionError:
        return _loads(_pruned(text))


def _has_many_values(text: str) -> bool:
    """Count exactly: commas and brackets inside JSON strings do not count."""
    tokens = (token for token in _TOKEN.finditer(text) if text[token.start()] in ",[{")
    return any(number >= MAX_VALUES for number, _ in enumerate(tokens))


def _loads(text: str) -> Json:
    # These hooks are Python functions, so a thread that parses a long text lets other threads run in between.
    value: Json = json.loads(text, object_hook=_unchanged, parse_float=_finite, parse_constant=_none)
    return value


def _unchanged(value: dict[str, Json]) -> dict[str, Json]:
    return value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _none(_: str) -> None:
    """Parse NaN and infinities as None: JSON does not have them."""


def _pruned(text: str) -> str:
    """JSON ``text`` with everything nested deeper than ``MAX_LEVELS`` replaced."""
    pieces: list[str] = []
    level = begin = 0
    for token in _TOKEN.finditer(text):
        sign = text[token.start()]
        if sign in "[{":
            level += 1
            if level == MAX_LEVELS + 1:
                pieces.append(text[begin : token.start()])
        elif sign in "]}":
            if level == MAX_LEVELS + 1:
                pieces.append(f'"{TOO_DEEP}"')
                begin = token.end()
            level -= 1
    if level <= MAX_LEVELS:
        pieces.append(text[begin:])
    return "".join(pieces)


def _without_lone_surrogates(message: JsonObject) -> JsonObject:
    text = json.dumps(message, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        replaced: JsonObject = json.loads(text.encode("utf-8", "replace"))
        return replaced
    return message
