"""What a server sends, read before the SDK sees it.

The SDK takes a message of any size, and parses and validates it on the event loop, all or nothing. Here a message has
limits, a long one is read in a thread, a list of tools loses those that cannot be read, and a result becomes one text.
"""

import asyncio
import json
import math
import re
from collections.abc import Callable
from enum import StrEnum

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.mcp.limits import Limits
from musterd.mcp.results import UnusableResult, as_one_text, readable_tools

INLINE_BYTES = 32 * 1024
"""Longer messages are read in a thread."""
OPEN_REQUESTS = 16
"""Requests of the server that may wait for an answer. The SDK makes a task of each; others are left unanswered."""
MOST_VALUES = 100_000
"""Values that a message may hold: reading one costs many times the bytes that it has."""
MOST_LEVELS = 120
"""What is nested deeper in a message is replaced, if it is too deep to be parsed."""
TOO_DEEP = "(nested too deep)"
CAUSE = "io.musterd/cause"
INTERNAL_ERROR = -32603
# Codes that the SDK also gives to errors of its own: for a connection that was closed, and for a session that ended.
_AMBIGUOUS_CODES = frozenset({-32000, -32600, 32600})
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)


class Cause(StrEnum):
    """Why a request failed; stands in the ``data`` of an error, under ``CAUSE``, unless the SDK made the error."""

    SERVER = "server"  # it said so
    UNUSABLE = "unusable"  # it was made, and its answer cannot be used
    NOT_SENT = "not_sent"  # it could not be reached
    FORGOTTEN = "forgotten"  # it does not know the session any more
    LOST = "lost"  # whether it took effect is not known


class UnreadableMessage(Exception):
    """What a server sent is no message, in words."""


class Inbox:
    """Reads the messages of one connection.

    :param on_tools_changed: called when the server says that its list of tools is another one.
    :ivar tells_of_changes: whether the server says so by itself. Since 2026-07-28 servers say instead how long a list
        holds, and the SDK keeps it that long.
    :ivar is_broken: whether nothing more can be read.
    """

    def __init__(self, limits: Limits, on_tools_changed: Callable[[], object]) -> None:
        self.limits = limits
        self.tells_of_changes = False
        self.is_broken = False
        self._open_requests: set[str] = set()
        self._on_tools_changed = on_tools_changed

    async def read(self, raw: bytes) -> JsonObject | None:
        """The message, as the SDK may see it; None if the SDK has no use for it.

        :raises UnreadableMessage: it is none.
        """
        if len(raw) > self.limits.message_bytes:
            raise UnreadableMessage(self.too_long)
        if len(raw) <= INLINE_BYTES:
            message = _read(raw, self.limits)
        else:
            message = await asyncio.to_thread(_read, raw, self.limits)
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
            self.tells_of_changes = isinstance(tools, dict) and bool(tools.get("listChanged"))
        return message

    def note_sent(self, message: JsonObject) -> None:
        """Know of a message that was sent to the server: it may answer a request of the server's."""
        if "method" not in message:
            self._open_requests.discard(json.dumps(message.get("id")))

    @property
    def too_long(self) -> str:
        """Why a message that is too long was not read."""
        return f"it is longer than {self.limits.message_bytes} bytes (MUSTERD_MCP_MESSAGE_BYTES)"


def error_reply(request_id: Json, cause: Cause, words: str, code: int = INTERNAL_ERROR) -> JsonObject:
    """An error in place of the reply to a request."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": words, "data": {CAUSE: cause}}}


def unusable_reply(request_id: Json, why: str) -> JsonObject:
    """An error in place of a reply that cannot be used."""
    return error_reply(request_id, Cause.UNUSABLE, why)


def cause_of(data: object) -> Cause | None:
    """The cause that the ``data`` of an error holds."""
    return Cause(data[CAUSE]) if isinstance(data, dict) and CAUSE in data else None


def _read(raw: bytes, limits: Limits) -> JsonObject:
    try:
        message = _parsed(raw.decode())
        if not isinstance(message, dict):
            raise UnreadableMessage("it is not a JSON object")
        _require_form(message)
        message = _checked(message, limits)
        return _without_lone_surrogates(message) if b"\\u" in raw else message
    except RecursionError as error:
        raise UnreadableMessage("it is nested too deep") from error
    except ValueError as error:
        raise UnreadableMessage("it is not JSON") from error


def _require_form(message: JsonObject) -> None:
    """Raise UnreadableMessage if it is not JSON-RPC: the SDK drops such a reply, and its call waits for a timeout."""
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
    """Whether an error that the server sent could be taken for one that was made here."""
    data = error.get("data")
    return error.get("code") in _AMBIGUOUS_CODES or (isinstance(data, dict) and CAUSE in data)


def _parsed(text: str) -> Json:
    if jsontext.most_parts(text) > MOST_VALUES and _has_many_values(text):
        raise UnreadableMessage(f"it holds more than {MOST_VALUES} values")
    try:
        return _loads(text)
    except RecursionError:
        return _loads(_pruned(text))


def _has_many_values(text: str) -> bool:
    """Whether a text that could hold too many values does: signs within texts do not count."""
    tokens = (token for token in _TOKEN.finditer(text) if text[token.start()] in ",[{")
    return any(number >= MOST_VALUES for number, _ in enumerate(tokens))


def _loads(text: str) -> Json:
    # The hooks are Python's, so that a thread which parses a long text gives way to others while it does.
    value: Json = json.loads(text, object_hook=_same, parse_float=_finite, parse_constant=_nothing)
    return value


def _same(value: dict[str, Json]) -> dict[str, Json]:
    return value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _nothing(_: str) -> None:
    """NaN and infinities: JSON has none."""


def _pruned(text: str) -> str:
    """JSON ``text`` without what is nested deeper than ``MOST_LEVELS``."""
    pieces: list[str] = []
    level = begin = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            level += 1
            if level == MOST_LEVELS + 1:
                pieces.append(text[begin : token.start()])
        elif first in "]}":
            if level == MOST_LEVELS + 1:
                pieces.append(f'"{TOO_DEEP}"')
                begin = token.end()
            level -= 1
    if level <= MOST_LEVELS:
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
