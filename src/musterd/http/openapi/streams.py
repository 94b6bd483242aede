"""The operations that read events, as the API describes them."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import Described, Schema, flag, in_query, many, record, ref, text, whole
from musterd.http.openapi.query_parts import limit
from musterd.http.openapi.run_parts import RUN_ID, Kind, in_path_of, tags_of
from musterd.wire.query import EVENT_PAGES

_LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `id` of the last event that the reader has; it wins over `after`",
}
_STREAM_EVENTS = in_query("stream_events", flag("false: only text, events of members, and the end"))
_RESUME_BODY: Schema = {
    "type": "object",
    "properties": {
        "last_event_index": whole("The `event_index` of the last event that the reader has; without it all come."),
        "session_id": text("The run's session; given, it must be that."),
        "stream_events": flag("Whether all events are shown; by default as the run was started."),
    },
}
_DATA = text("The event, as one line of JSON.", contentMediaType="application/json")
STREAM_SCHEMAS: dict[str, Schema] = {
    "RunEvent": record(
        "RunEvent",
        {
            "event": text("The event's name", examples=["TeamRunContent"]),
            "created_at": whole("Unix seconds"),
            "run_id": text("The run that it happened in: the root's or a member's"),
            "session_id": text("Its session"),
            "nested_depth": whole("0 for the root, 1 for its members, 2 for theirs"),
            "event_index": whole("Strictly increasing within the root's run"),
        },
        description="One event; further fields go by its name.",
    ),
    "ResumedStreamEvent": record(
        "ResumedStreamEvent",
        {
            "event": text("The event's name, or `catch_up`, `subscribed`, `replay`; `data` repeats it."),
            "id": text("The event's index in the run."),
            "data": _DATA,
        },
        optional=("id",),
        description="One event of a stream that is resumed; what is told beside the run's events has no `id`.",
    ),
    "RunEventsPage": record(
        "RunEventsPage",
        {
            "run_id": text("The run that was asked for"),
            "session_id": text("Its session"),
            "status": text("The run's state"),
            "events": many(ref("RunEvent"), "The events, as a stream has them in `data`"),
            "last_event_index": whole("How far the page goes: `after` of the next one"),
            "has_more": flag("Whether more is stored behind it"),
            "is_final": flag("Whether nothing will follow any more"),
        },
    ),
}


def stream_operations(kind: Kind) -> dict[str, Described]:
    """What is documented of reading the events of runs of teams, or of agents."""
    return {f"resume_{kind}_run_stream": _resume(kind), f"list_{kind}_run_events": _events(kind)}


def _streamed(schema: str) -> Schema:
    found = answer("The events", None)
    found["content"] = {"text/event-stream": {"schema": ref(schema)}}
    return found


def _resume(kind: Kind) -> Described:
    media = ("application/x-www-form-urlencoded", "multipart/form-data", "application/json")
    return Described(
        tags=tags_of(kind),
        summary=f"Resume {kind.capitalize()} Run Stream",
        description="Go on with a stream that broke off, on any process, as long as the run is stored. A run at work: "
        "`catch_up`, the events that were missed, `subscribed`, then live ones. One that has ended or waits for a "
        "person: `replay`, then the events that were missed.",
        parameters=[in_path_of(kind), RUN_ID],
        body={"required": False, "content": {name: {"schema": _RESUME_BODY} for name in media}},
        answers={
            "200": _streamed("ResumedStreamEvent"),
            **errors(
                *("401", "403", "413", "422", "503"),
                _400="The form cannot be read",
                _404=f"{kind.capitalize()} or run not found",
            ),
        },
    )


def _events(kind: Kind) -> Described:
    page = answer("A page of events, or with `Accept: text/event-stream` a stream of them", ref("RunEventsPage"))
    page["content"]["text/event-stream"] = {"schema": ref("StreamEvent")}
    return Described(
        tags=tags_of(kind),
        summary=f"List {kind.capitalize()} Run Events",
        description="The events of the run and its members, or of one member, behind an index; as long as the run is "
        "stored, from any process. As a stream it goes on with live events until the run ends or pauses for a person; "
        "who has read of the pause waits for what follows it.",
        parameters=[
            in_path_of(kind),
            RUN_ID,
            in_query("session_id", text("The run's session"), is_required=True),
            in_query("after", whole("Only events behind this `event_index`", minimum=-1, default=-1)),
            in_query("limit", limit(EVENT_PAGES, "Events on a page")),
            _STREAM_EVENTS,
            _LAST_EVENT_ID,
        ],
        answers={
            "200": page,
            "204": answer("The run has ended, and a stream of it would have nothing more to tell"),
            **errors("401", "422", "503", _404=f"{kind.capitalize()} or run not found"),
        },
    )
