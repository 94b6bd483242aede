"""The stream of a run's events, which continues across restarts and fail-overs of the server.

The server stores an event before it sends it, under an index that increases within the run. So the client goes on
after the last index that it has seen, on whichever process answers, and leaves out what it has seen already.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2

from .drivers import is_event_stream
from .errors import error_of
from .events import FINAL_EVENTS, PAUSE_EVENTS, Event, EventPage
from .flows import Emit, Sleep, open_stream, read_event
from .requests import path_of

if TYPE_CHECKING:
    from .flows import Flow, StreamFlow
    from .requests import Requests

PING_SECONDS = 15
"""How often the server sends something at least, by default. A connection that is silent for longer is given up."""


def run_events(requests: Requests, run_id: str, after: int, *, through_pauses: bool = False) -> StreamFlow[Event]:
    """Emit each event of a run after an index once, until the run finishes or pauses.

    :param through_pauses: continue when it pauses, until it finishes.
    """
    retries = requests.retries()
    last: Event | None = None
    while True:
        request = _request(requests, run_id, after)
        answer = yield from open_stream(request)
        if not isinstance(answer, httpx2.Response) or not answer.is_success:
            yield Sleep(retries.wait_seconds(answer))
            continue
        if answer.status_code == 204:  # all was read of a run that has finished
            return
        if not is_event_stream(answer):
            raise error_of(answer, "The answer is no stream of events. Is this the URL of a musterd server?")
        # Only an event counts as progress: a server that accepts streams and ends them is waited for longer each time.
        retries.note_answer()
        while isinstance(received := (yield from read_event()), httpx2.ServerSentEvent):
            event = Event.of(json.loads(received.data))
            if event.index > after:
                retries.note_progress()
                # Before the caller gets it, which may take long or not come back: it is not to come again.
                last, after = event, event.index
                yield Emit(event)
        if last is not None and (yield from _is_end(requests, run_id, last, through_pauses=through_pauses)):
            return
        if received is None and last is not None and _is_of_run(last, run_id) and last.name in PAUSE_EVENTS:
            # No failure: a server ends the stream at a pause, and waits if it is asked for what follows.
            yield Sleep(retries.pause_seconds())
            continue
        # The server stopped, or the connection broke.
        yield Sleep(retries.wait_seconds(received or httpx2.RemoteProtocolError("the stream ended", request=request)))


def _request(requests: Requests, run_id: str, after: int) -> httpx2.Request:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    return requests.build("GET", path_of("runs", run_id, "events"), headers=headers, server_seconds=PING_SECONDS)


def _is_of_run(event: Event, run_id: str) -> bool:
    """Whether an event is one of the run itself, and not of a member.

    :param run_id: the run as the caller names it, maybe by an id of the caller's own: then it is the root.
    """
    return event.run_id == run_id or event.depth == 0


def _is_end(requests: Requests, run_id: str, event: Event, *, through_pauses: bool) -> Flow[bool]:
    """Whether the run has finished or paused with an event, after which a connection ended."""
    if not _is_of_run(event, run_id):
        return False
    if through_pauses or event.name not in PAUSE_EVENTS:
        return event.name in FINAL_EVENTS
    # The pause may be an old one: the stream goes on after a decision, and it may have ended here for another reason.
    query = {"after": event.index, "limit": 1}
    page = EventPage.of((yield from requests.json("GET", path_of("runs", run_id, "events"), query=query)))
    return page.status == "PAUSED" and not page.events
