"""The operations on runs' events: what was stored, page by page, and streams of it that go on where one broke off."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.records import ComponentKind
from musterd.declare import Component
from musterd.http.forms import read_resume
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.run_stream import Notes, RunSource
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.following import FollowedRun
from musterd.wire import resume, sse
from musterd.wire.event_filter import Shown
from musterd.wire.event_pages import EventPage
from musterd.wire.query import EventsQuery, parse_events_query

EVENT_STREAM = "text/event-stream"
CURSOR_HEADER = "last-event-id"


class EventOperations:
    """Read the events of runs of one kind of component."""

    def __init__(self, server: Server, kind: ComponentKind) -> None:
        self._server = server
        self._kind = kind

    def _component(self, request: Request) -> Component:
        return self._server.component(self._kind, path_identifier(request, f"{self._kind}_id"))

    async def resume(self, request: Request) -> Response:
        """Go on with a stream that broke off: what was missed, then what comes; both are announced."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        asked, following = await read_resume(request, self._server.settings), self._server.runs.following
        after = asked.after
        found, reading = await following.open(component, run_id, asked.session_id, caller_of(request), after)
        try:
            shows_all = found.shows_all if asked.stream_events is None else asked.stream_events
            notes = _notes(found, await self._missed(found, shows_all), after)
        except BaseException:
            reading.close()
            raise
        source = RunSource(self._server, reading, found.root, _shown(found, shows_all), notes)
        return EventStream(source, self._server.settings)

    async def events(self, request: Request) -> Response:
        """The events behind an index: as a page, or as a stream where the request asks for one."""
        component, run_id = self._component(request), path_identifier(request, "run_id")
        query = parse_events_query(request.query_params, request.headers.get(CURSOR_HEADER))
        if EVENT_STREAM in request.headers.get("accept", "").lower():
            return await self._stream(component, run_id, query, request)
        following = self._server.runs.following
        found = await following.find(component, run_id, query.session_id, caller_of(request), query.after)
        page = await self._page(found, query)
        return Response(page.as_json(found.run), media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def _stream(self, component: Component, run_id: str, query: EventsQuery, request: Request) -> Response:
        following, caller = self._server.runs.following, caller_of(request)
        found, reading = await following.open(component, run_id, query.session_id, caller, query.after)
        shown = _shown(found, query.stream_events)
        try:
            has_all = shown.is_over and await self._missed(found, query.stream_events) == 0
        except BaseException:
            reading.close()
            raise
        if has_all and (found.root.state.is_final or found.run.state.is_final):
            reading.close()
            return Response(status_code=204, headers=sse.HEADERS)  # browsers ask again and again, but for this
        if has_all:  # of what waits for a person the pause is told already: wait for the rest
            shown.is_over = False
        return EventStream(RunSource(self._server, reading, found.root, shown), self._server.settings)

    async def _page(self, found: FollowedRun, query: EventsQuery) -> EventPage:
        shown, frames = _shown(found, query.stream_events), self._server.frames.of(found.root)
        page = EventPage(after=found.after, limit=query.limit)
        async for stored in self._server.runs.following.stored_pages(found.root.run_id, found.after):
            for flush in stored.flushes:
                made = await frames.of(flush)
                for offset, event in enumerate(flush.events):
                    if not page.take(flush.first_index + offset, made[offset] if shown.takes(event) else None):
                        return page
            page.last_index = stored.last_index
        return page

    async def _missed(self, found: FollowedRun, shows_all: bool) -> int:
        """How many of the events that are stored so far follow behind the reader's last."""
        if found.subtree_ids is None and shows_all:
            return found.last_index - found.after
        shown, count = _shown(found, shows_all), 0
        async for stored in self._server.runs.following.stored_pages(found.root.run_id, found.after):
            for flush in stored.flushes:
                for index, event in enumerate(flush.events, flush.first_index):
                    if index > found.last_index:
                        return count
                    count += shown.takes(event)
        return count


def _shown(found: FollowedRun, shows_all: bool) -> Shown:
    is_over = found.root.state.is_settled or found.run.state.is_final
    return Shown(found.root.run_id, found.run.run_id, below=found.subtree_ids, shows_all=shows_all, is_over=is_over)


def _notes(found: FollowedRun, missed: int, after: int) -> Notes:
    run_id, state, total = found.run.run_id, found.run.state, found.last_index + 1
    if found.root.state.is_settled or state.is_final:
        value = resume.replay(run_id, state, missed, total, after)
        return Notes(first=sse.frame("replay", value), caught_up=None, last_index=found.last_index)
    first = sse.frame("catch_up", resume.catch_up(run_id, state, missed, total))
    caught_up = sse.frame("subscribed", resume.subscribed(run_id, state, total))
    return Notes(first=first, caught_up=caught_up, last_index=found.last_index)
