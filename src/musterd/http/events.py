"""The operations that read events of runs: pages of stored events, and streams that go on where another one ended."""

from typing import ClassVar

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.declare import BaseComponent
from musterd.http.forms import Form
from musterd.http.operation import Answer
from musterd.http.parameters import Headers, Identifier, refuse_boolean
from musterd.http.run_operation import RunQuery, run_operation
from musterd.http.run_stream import Notes, RunSource
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.following import FollowedRun
from musterd.service.run_ref import RunRef
from musterd.wire import resume, sse
from musterd.wire.event_filter import EventFilter
from musterd.wire.event_pages import EventPage, RunEventsPage
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.sse import ResumedStreamEvent, StreamEvent

EVENT_STREAM = "text/event-stream"
MAX_INDEX = 2**53


class EventsQuery(RunQuery):
    """The query of a run's events."""

    after: int = Field(-1, ge=-1, le=MAX_INDEX, description="Only events after this `event_index`")
    limit: int = Field(PAGE_LIMIT, ge=1, le=PAGE_LIMIT, description="Events on a page")
    stream_events: bool = Field(True, description="false: only text, events of members, and the end")


class LastEventHeaders(Headers):
    """The header of a client that goes on with a stream."""

    last_event_id: int | None = Field(
        None,
        ge=-1,
        le=MAX_INDEX,
        alias="Last-Event-ID",
        description="The `id` of the last event that the client received; it has precedence over `after`",
    )


class ResumeForm(Form):
    """Where a client's stream ended."""

    is_required: ClassVar[bool] = False

    last_event_index: int | None = Field(
        None,
        ge=-1,
        le=MAX_INDEX,
        description="The `event_index` of the last event that the client received; without it, all are sent.",
    )
    session_id: Identifier | None = Field(None, description="The run's session; if it is given, it must be that.")
    stream_events: bool | None = Field(
        None, description="Whether all events are sent; by default as the run was started."
    )

    _refuse_booleans = field_validator("last_event_index", mode="before")(refuse_boolean)


@run_operation(
    "POST",
    "/runs/{run_id}/resume",
    "resume_{kind}_run_stream",
    summary="Resume {Kind} Run Stream",
    errors={400: "The form cannot be read", 404: "{Kind} or run not found"},
    answers=lambda kind: {200: Answer(event=ResumedStreamEvent)},
)
async def resume_stream(
    component: BaseComponent, run_id: str, server: Server, caller: Caller, body: ResumeForm
) -> Response:
    """Go on with a stream that was interrupted, on any process, as long as the run is stored.

    For an active run: `catch_up`, the missed events, `subscribed`, then live events. For one that has finished or
    paused: `replay`, then the missed events.
    """
    after = -1 if body.last_event_index is None else body.last_event_index
    ref = RunRef(component, run_id, body.session_id, caller)
    return EventStream(await resumed_source(server, ref, after, shows_all=body.stream_events), server.settings)


@run_operation(
    "GET",
    "/runs/{run_id}/events",
    "list_{kind}_run_events",
    summary="List {Kind} Run Events",
    errors={404: "{Kind} or run not found"},
    answers=lambda kind: {200: Answer(RunEventsPage, event=StreamEvent), 204: Answer()},
)
async def list_events(
    component: BaseComponent,
    run_id: str,
    request: Request,
    server: Server,
    caller: Caller,
    query: EventsQuery,
    headers: LastEventHeaders,
) -> Response:
    """List the events of a run and its members, or of one member, after an index.

    With `Accept: text/event-stream` they are streamed, followed by live events until the run finishes or pauses. A
    client that has read of the pause gets what follows it; one that has read all of a finished run gets 204.
    """
    after = query.after if headers.last_event_id is None else headers.last_event_id
    following = server.runs.following
    if EVENT_STREAM not in request.headers.get("accept", "").lower():
        followed = await following.find(RunRef(component, run_id, query.session_id, caller), after)
        page = await _page(server, followed, query)
        content = page.as_json(followed.run)
        return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache"})
    followed, subscription = await following.open(RunRef(component, run_id, query.session_id, caller), after)
    event_filter = _filter(followed, query.stream_events)
    try:
        has_all = event_filter.is_over and await _count_missed(server, followed, query.stream_events) == 0
    except BaseException:
        subscription.close()
        raise
    if has_all and (followed.root.state.is_final or followed.run.state.is_final):
        subscription.close()
        return Response(status_code=204, headers=sse.HEADERS)  # after any other status, browsers connect again
    if has_all:  # the run has paused, and the client knows it: wait for what follows
        event_filter.is_over = False
    return EventStream(RunSource(server, subscription, followed.root, event_filter), server.settings)


async def resumed_source(server: Server, ref: RunRef, after: int, *, shows_all: bool | None = None) -> RunSource:
    """The events of a run after index ``after``, with notes about what was missed.

    :param shows_all: whether it has all events; None: as the run was started.
    :raises NotFound: there is no such run that this caller may see.
    """
    followed, subscription = await server.runs.following.open(ref, after)
    try:
        shows_all = followed.shows_all if shows_all is None else shows_all
        notes = _notes(followed, await _count_missed(server, followed, shows_all), after)
    except BaseException:
        subscription.close()
        raise
    return RunSource(server, subscription, followed.root, _filter(followed, shows_all), notes)


async def _page(server: Server, followed: FollowedRun, query: EventsQuery) -> EventPage:
    event_filter, frames_of_run = _filter(followed, query.stream_events), server.frames.of(followed.root)
    page = EventPage(after=followed.after, limit=query.limit)
    async for stored in server.runs.following.stored_pages(followed.root, followed.after):
        for flush in stored.flushes:
            frames = await frames_of_run.of(flush)
            for offset, event in enumerate(flush.events):
                frame = frames[offset] if event_filter.takes(event) else None
                if not page.take(flush.first_index + offset, frame):
                    return page
        page.last_index = stored.last_index
    return page


async def _count_missed(server: Server, followed: FollowedRun, shows_all: bool) -> int:
    """The number of events that are stored now and that the client has not received."""
    if followed.subtree_ids is None and shows_all:
        return followed.last_index - followed.after
    event_filter, count = _filter(followed, shows_all), 0
    async for stored in server.runs.following.stored_pages(followed.root, followed.after):
        for flush in stored.flushes:
            for index, event in enumerate(flush.events, flush.first_index):
                if index > followed.last_index:
                    return count
                count += event_filter.takes(event)
    return count


def _filter(followed: FollowedRun, shows_all: bool) -> EventFilter:
    root, run = followed.root, followed.run
    is_over = root.state.is_settled or run.state.is_final
    return EventFilter(
        root.run_id,
        run.run_id,
        kind=run.component_kind,
        below=followed.subtree_ids,
        shows_all=shows_all,
        is_over=is_over,
    )


def _notes(followed: FollowedRun, missed_count: int, after: int) -> Notes:
    run_id, state, total = followed.run.run_id, followed.run.state, followed.last_index + 1
    if followed.root.state.is_settled or state.is_final:
        value = resume.replay(run_id, state, missed_count, total, after)
        return Notes(first=sse.frame("replay", value), caught_up=None, last_index=followed.last_index)
    first = sse.frame("catch_up", resume.catch_up(run_id, state, missed_count, total))
    caught_up = sse.frame("subscribed", resume.subscribed(run_id, state, total))
    return Notes(first=first, caught_up=caught_up, last_index=followed.last_index)


OPERATIONS = (resume_stream, list_events)
