"""Server-sent events as bytes, within what real clients stand.

One frame is ``event: <Name>`` LF ``id: <index>`` LF ``data: <one line of JSON>`` LF LF. Never a brace in a
comment, never JSON over several lines, never ``data:`` without its space, never a closing ``[DONE]``: each
breaks a real client.
"""

from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext, long_json
from musterd.core.events import Event, EventKind
from musterd.core.records import RunView
from musterd.wire.events import EventRenderer, event_name

MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Not ``no-store``: Chromium then reports a stream that a page has read to its end as cancelled
(``net::ERR_ABORTED``), however it is cut into segments. As with polls, a cache must ask again before it uses a copy."""

PING = b": ping\n\n"
"""The comment that keeps an idle stream open."""

_LINE_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that JSON allows in a text but that line readers of clients (Python's among them) split at."""


_Data = Annotated[
    str,
    Field(description="The event, as one line of JSON.", json_schema_extra={"contentMediaType": "application/json"}),
]


class StreamEvent(TypedDict):
    """One event of a run's stream, which ends when the run does."""

    event: Annotated[str, Field(description="The event's name, as in `data`.", examples=["TeamRunContent"])]
    id: Annotated[str, Field(description="The event's index in the run.")]
    data: _Data


class ResumedStreamEvent(TypedDict):
    """One event of a resumed stream. `catch_up`, `subscribed` and `replay` are not events of the run and have no id."""

    event: Annotated[str, Field(description="The event's name, or `catch_up`, `subscribed`, `replay`; as in `data`.")]
    id: NotRequired[Annotated[str, Field(description="The event's index in the run.")]]
    data: _Data


class SessionStreamEvent(TypedDict):
    """One event of a session's stream."""

    event: Annotated[str, Field(description="The event's name, as in `data`.")]
    id: Annotated[str, Field(description="An opaque cursor: how far all runs of the session have been read.")]
    data: _Data


def frame(name: str, payload: dict[str, Any], event_id: int | None = None) -> bytes:
    """One event as bytes.

    :param name: the event's name; ``payload`` repeats it in ``event``.
    :param event_id: the ``id`` of the frame; None: it has none (``replay``, …).
    """
    return _as_bytes(f"{_head(name, event_id)}{jsontext.dumps(payload)}\n\n")


def _long_frame(name: str, payload: dict[str, Any], index: int) -> bytes:
    """The same for a long event: no call holds Python's lock for long."""
    pieces = map(_without_line_breaks, long_json.pieces(payload))
    return b"".join([_as_bytes(_head(name, index)), *pieces, b"\n\n"])


def _head(name: str, event_id: int | None) -> str:
    id_line = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{id_line}data: "


def json_of(event_frame: bytes) -> bytes:
    """The JSON of a frame."""
    return event_frame[event_frame.index(b"\ndata: ") + 7 : -2]


def with_cursor(event_frame: bytes, cursor: str) -> bytes:
    """A frame of a run's event, with another ``id``, for a stream of several runs."""
    name, _, rest = event_frame.partition(b"\n")
    return b"%s\nid: %s\n%s" % (name, cursor.encode(), rest.partition(b"\n")[2])


class EventFrames:
    """The events of one root run as frames.

    Text deltas are most of a stream, so what repeats in them is kept as text and only the delta is encoded.
    """

    def __init__(self, renderer: EventRenderer) -> None:
        self._renderer = renderer
        self._deltas: dict[str, tuple[str, str]] = {}

    def frame(self, event: Event, index: int, members: Sequence[RunView] = ()) -> bytes:
        """``event`` as bytes; parameters as of :meth:`EventRenderer.render`."""
        if event.kind is EventKind.CONTENT:
            return self._delta(event, index)
        name, payload = self._renderer.render(event, index, members)
        return frame(name, payload, index)

    def long_frame(self, event: Event, index: int, members: Sequence[RunView] = ()) -> bytes:
        """The same as :meth:`frame` for a long event. Meant for a thread: no call holds Python's lock for long."""
        name, payload = self._renderer.render(event, index, members)
        return _long_frame(name, payload, index)

    def _delta(self, event: Event, index: int) -> bytes:
        parts = self._deltas.get(event.run_id)
        if parts is None:
            parts = self._deltas[event.run_id] = self._delta_parts(event.run_id)
        name, after_time = parts
        text = encode_basestring(event.data.get("text") or "")
        reasoning = encode_basestring(event.data.get("reasoning") or "")
        return _as_bytes(
            f'event: {name}\nid: {index}\ndata: {{"created_at":{int(event.at)},{after_time % text}{reasoning}'
            f',"at":{round(event.at, 3)},"event_index":{index}}}\n\n'
        )

    def _delta_parts(self, run_id: str) -> tuple[str, str]:
        """The name of the run's deltas, and their JSON between the time and the reasoning, the text as %s."""
        kind = self._renderer.identity(run_id).component_kind
        name = event_name(EventKind.CONTENT, kind)
        head = jsontext.dumps({"event": name, **self._renderer.head(run_id)})[1:-1].replace("%", "%%")
        is_workflow_agent = "true" if self._renderer.is_workflow_agent(run_id) else "false"
        workflow = f'"workflow_agent":{is_workflow_agent},' if kind == "agent" else ""
        return name, f'{head},"content":%s,{workflow}"content_type":"str","reasoning_content":'


def _as_bytes(text: str) -> bytes:
    if not text.isascii():
        for character, escaped in _LINE_BREAKS.items():
            if character in text:
                text = text.replace(character, escaped)
    return text.encode("utf-8", "replace")


def _without_line_breaks(encoded: bytes) -> bytes:
    if not encoded.isascii():
        for character, escaped in _LINE_BREAKS.items():
            encoded = encoded.replace(character.encode(), escaped.encode())
    return encoded
