"""Limits the size of one model answer.

An answer is measured while it streams, so that an endless answer costs no more than the limit. An answer that is too
large is not retried, because the model would probably send the same again.
"""

from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SpeechPart,
    TextPartDelta,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_core import to_json

from musterd.core.errors import ModelFailed
from musterd.core.settings import Settings

LONGEST_ESCAPE = 6
"""The most bytes of JSON that one byte of text needs: ``\\u0007``."""
OVERHEAD_BYTES = 64 * 1024
"""Room for everything except the answer in one event of a stream or in one JSON value."""

OTHER_PARTS = 1024
"""The most parts of an answer that are not tool calls: text, reasoning and files."""

NAME_CHARACTERS = 1000
"""The most characters of a tool's name that arrive after the first piece. pydantic-ai copies the name at each piece. No
tool has a name of more than 64 characters, and most providers send it in one piece."""

_NO_INDEXES: frozenset[int] = frozenset()  # each empty set takes 216 bytes, and thousands of answers may be awaited

_COUNTED_FIELDS = ("content", "signature", "tool_name", "tool_call_id", "args", "provider_details")
"""The fields of a part that count when it begins. Providers send some parts complete: encrypted reasoning, and the
results of tools that they run themselves."""


class AnswerMeter:
    """Measures one answer as its events arrive.

    :raises ModelFailed: from :meth:`add`, at the first event that exceeds a limit.
    """

    __slots__ = ("_answer_bytes", "_call_indexes", "_media_bytes", "_name_lengths", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answer_bytes = 0
        self._media_bytes = 0
        self._call_indexes = _NO_INDEXES
        self._name_lengths: dict[int, int] | None = None  # by the index of the call, of names in several pieces

    def add(self, event: ModelResponseStreamEvent) -> None:
        """Add the size of ``event``."""
        if type(event) is PartDeltaEvent:
            delta = event.delta
            if type(delta) is TextPartDelta:
                self._add(delta.content_delta)
            elif type(delta) is ThinkingPartDelta:
                self._add(delta.content_delta)
                self._add(delta.signature_delta)
            elif type(delta) is ToolCallPartDelta:
                if delta.tool_name_delta:
                    self._add_to_name(event.index, delta.tool_name_delta)
                self._add(delta.args_delta)
        elif type(event) is PartStartEvent:
            self._add_part(event)

    def _add_part(self, event: PartStartEvent) -> None:
        part, limit = event.part, self._settings.turn_tool_calls
        if isinstance(part, ToolCallPart):
            self._call_indexes |= {event.index}
            if len(self._call_indexes) > limit:
                raise too_many_calls(limit)
        if event.index >= limit + OTHER_PARTS:
            raise too_large(f"The model's answer has more than {limit + OTHER_PARTS} parts.")
        if isinstance(part, FilePart):
            self._add_media(part.content)
        elif isinstance(part, SpeechPart):
            self._add(part.transcript)
            self._add_media(part.audio)
        else:
            for field in _COUNTED_FIELDS:
                self._add(getattr(part, field, None))

    def _add_to_name(self, index: int, piece: str) -> None:
        self._add(piece)
        if self._name_lengths is None:
            self._name_lengths = {}
        self._name_lengths[index] = self._name_lengths.get(index, 0) + len(piece)
        if self._name_lengths[index] > NAME_CHARACTERS:
            raise too_large(f"The model's answer calls a tool with a name of more than {NAME_CHARACTERS} characters.")

    def _add_media(self, media: BinaryContent | None) -> None:
        self._media_bytes += 0 if media is None else len(media.data)
        if self._media_bytes > (limit := self._settings.media_bytes):
            raise too_large(f"The media in the model's answer are larger than {limit} bytes.")

    def _add(self, piece: object) -> None:
        if not piece:
            return
        self._answer_bytes += byte_count(piece) if isinstance(piece, str) else _json_bytes(piece)
        if self._answer_bytes > (limit := self._settings.model_answer_bytes):
            raise too_large(f"The model's answer is larger than {limit} bytes.")


class ReceivedMeter:
    """Measures what a provider sends for one answer, after decompression and before it is parsed.

    :param is_stream: whether it is a stream of events; otherwise it is one JSON value.
    :raises ModelFailed: from :meth:`add`, at the first piece that exceeds a limit.
    """

    __slots__ = ("_end", "_is_stream", "_received_bytes", "_settings", "_value_bytes")

    def __init__(self, settings: Settings, *, is_stream: bool) -> None:
        self._settings = settings
        self._is_stream = is_stream
        self._received_bytes = 0
        self._value_bytes = 0  # of the JSON value, or of the event that has begun
        self._end = b""  # of the data so far: the end of an event may be split over two pieces

    def add(self, data: bytes) -> None:
        """Add a piece."""
        self._received_bytes += len(data)
        if self._received_bytes > (limit := self._settings.model_received_bytes):
            raise too_large(f"The model's provider sent more than {limit} bytes for one answer.")
        self._value_bytes += len(data)
        if self._is_stream:
            self._find_end(data)
        if self._value_bytes > longest_value(self._settings):
            kind = "an event" if self._is_stream else "a value"
            raise too_large(f"The model's answer contains {kind} that is larger than the limit for the whole answer.")

    def _find_end(self, data: bytes) -> None:
        searched = self._end + data
        place = max(searched.rfind(blank_line) for blank_line in (b"\n\n", b"\r\n\r\n", b"\r\r"))
        if place >= 0:
            self._value_bytes = len(searched) - place
        self._end = searched[-3:]


def longest_event(settings: Settings) -> int:
    """The most bytes of a JSON value that holds a whole answer."""
    return LONGEST_ESCAPE * settings.model_answer_bytes + OVERHEAD_BYTES


def longest_value(settings: Settings) -> int:
    """The same with media, which are in base64."""
    return longest_event(settings) + 2 * settings.media_bytes


def _json_bytes(value: object) -> int:
    return len(to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=str))


def byte_count(text: str) -> int:
    """The length of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_large(message: str) -> ModelFailed:
    """The error for an answer that exceeds its limit."""
    return ModelFailed(message, "answer_too_large")


def too_many_calls(limit: int) -> ModelFailed:
    """The error for a turn with more tool calls than ``limit``."""
    return ModelFailed(
        f"The model asked for more than {limit} tool calls in one turn. None of them was made.", "turn_tool_calls"
    )
