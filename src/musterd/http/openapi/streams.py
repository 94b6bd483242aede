"""The operation that reads the events of a session, as the API describes it."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import Described, Schema, flag, in_path, in_query, ref, text

_LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `id` of the last event that the reader has; it wins over `after`",
}
_STREAM_EVENTS = in_query("stream_events", flag("false: only text, events of members, and the end"))


def _streamed(schema: str) -> Schema:
    found = answer("The events", None)
    found["content"] = {"text/event-stream": {"schema": ref(schema)}}
    return found


SESSION_STREAM = Described(
    tags=("Sessions",),
    summary="Follow Session",
    description="A stream of the session's runs: those that have not ended, from their start, and every run that "
    "begins while it is open. The `id` of an event is a cursor over all of them: who comes back with it, to any "
    "process, misses nothing. It ends when the client goes or the session is deleted.",
    parameters=[
        in_path("session_id", "The session's id"),
        in_query("after", text("The `id` of the last event that the reader has")),
        _STREAM_EVENTS,
        _LAST_EVENT_ID,
    ],
    answers={"200": _streamed("SessionStreamEvent"), **errors("401", "422", "503", _404="Session not found")},
)
