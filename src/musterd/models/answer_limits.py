"""What one answer of a model may hold.

An answer is counted piece by piece while it streams, so an answer without an end costs no more than its limit. It is
not tried again: the model would probably send the same.
"""

from pydantic_ai.messages import (
    BaseToolCallPart,
    FilePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_core import to_json

from musterd.core.errors import ModelFailed
from musterd.core.settings import Settings

LONGEST_ESCAPE = 6
"""Bytes of JSON that one byte of text may need: ``\\u0007``."""
OVERHEAD_BYTES = 64 * 1024
"""What else may stand in one event of a stream, or beside the answer in one JSON value."""

OTHER_PARTS = 1024
"""Parts of an answer that are no tool calls: stretches of text and of reasoning, files."""


class AnswerMeter:
    """Counts one answer as its events arrive.

    :raises ModelFailed: from :meth:`add`, at the first event that is too much.
    """

    __slots__ = ("_answer_bytes", "_calls", "_media_bytes", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answer_bytes = 0
        self._media_bytes = 0
        self._calls: frozenset[int] = frozenset()

    def add(self, event: ModelResponseStreamEvent) -> None:
        """Count what ``event`` adds to the answer."""
        if type(event) is PartDeltaEvent:
            delta = event.delta
            if type(delta) is TextPartDelta:
                self._add(delta.content_delta)
            elif type(delta) is ThinkingPartDelta:
                self._add(delta.content_delta)
                self._add(delta.signature_delta)
            elif type(delta) is ToolCallPartDelta:
                self._add(delta.tool_name_delta)
                self._add(delta.args_delta)
        elif type(event) is PartStartEvent:
            self._add_part(event)

    def _add_part(self, event: PartStartEvent) -> None:
        part, limit = event.part, self._settings.turn_tool_calls
        if isinstance(part, ToolCallPart):
            self._calls |= {event.index}
            if len(self._calls) > limit:
                raise too_many_calls(limit)
        if event.index >= limit + OTHER_PARTS:
            raise too_large(f"The model's answer has more than {limit + OTHER_PARTS} parts.")
        if isinstance(part, TextPart | ThinkingPart):
            self._add(part.content)
        elif isinstance(part, BaseToolCallPart):
            self._add(part.tool_name)
            self._add(part.tool_call_id)
            self._add(part.args)
        elif isinstance(part, FilePart):
            self._media_bytes += len(part.content.data)
            if self._media_bytes > (media_limit := self._settings.media_bytes):
                raise too_large(f"The media in the model's answer are larger than {media_limit} bytes.")

    def _add(self, piece: object) -> None:
        if not piece:
            return
        self._answer_bytes += byte_count(piece) if isinstance(piece, str) else len(to_json(piece))
        if self._answer_bytes > (limit := self._settings.model_answer_bytes):
            raise too_large(f"The model's answer is larger than {limit} bytes.")


def longest_event(settings: Settings) -> int:
    """The length in bytes of a JSON value that holds a whole answer."""
    return LONGEST_ESCAPE * settings.model_answer_bytes + OVERHEAD_BYTES


def byte_count(text: str) -> int:
    """The length of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_large(words: str) -> ModelFailed:
    """What to raise for an answer that is larger than it may be."""
    return ModelFailed(words, "answer_too_large")


def too_many_calls(limit: int) -> ModelFailed:
    """What to raise for a turn with more tool calls than ``limit``."""
    return ModelFailed(
        f"The model asked for more than {limit} tool calls in one turn. None was made.", "turn_tool_calls"
    )
