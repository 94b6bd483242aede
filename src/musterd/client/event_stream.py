"""The stream of a run's events, which goes on over restarts and fail-overs of the server.

The server stores an event before it sends it, under an index that increases within the run. So the client goes on
after the last index that it has seen, on whichever process answers, and leaves out what it has seen already.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2

from musterd.client.drivers import is_event_stream
from musterd.client.events import ENDS, Event
from musterd.client.flows import Emit, Sleep, open_stream, read_event
from musterd.client.requests import path_of

if TYPE_CHECKING:
    from musterd.client.flows import StreamFlow
    from musterd.client.requests import Requests

PING_SECONDS = 15
"""How often the server sends something at least, by default. A connection that is silent for longer is given up."""


def run_events(requests: Requests, run_id: str, after: int) -> StreamFlow[Event]:
    """Emit each event of a run after an index once, until the run finishes or pauses."""
    retries = requests.retries()
    last: Event | None = None
    while True:
        # A run that has paused goes on in the same stream. To learn whether it has, read the pause again: if it lasts,
        # the server closes the stream after it.
        seen = after if last is None else last.index
        request = _request(requests, run_id, seen - 1 if _is_end(last, run_id) else seen)
        answer = yield from open_stream(request)
        if not isinstance(answer, httpx2.Response) or not answer.is_success:
            yield Sleep(retries.wait_seconds(answer))
            continue
        if not is_event_stream(answer):
            return  # 204: all was read of a run that has finished
        retries.note_answer()
        while isinstance(sent := (yield from read_event()), httpx2.ServerSentEvent):
            event = Event.of(json.loads(sent.data))
            if event.index > seen:
                retries.note_progress()
                last, seen = event, event.index
                yield Emit(event)
        if sent is None and _is_end(last, run_id):
            return
        # The server stopped, or the connection broke.
        yield Sleep(retries.wait_seconds(sent or httpx2.RemoteProtocolError("the stream ended", request=request)))


def _request(requests: Requests, run_id: str, after: int) -> httpx2.Request:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    return requests.build("GET", path_of("runs", run_id, "events"), headers=headers, server_seconds=PING_SECONDS)


def _is_end(event: Event | None, run_id: str) -> bool:
    """Whether the event says that the run finished or paused.

    :param run_id: the run as the caller names it, maybe by an id of the caller's own: then it is the root.
    """
    return event is not None and event.name in ENDS and (event.run_id == run_id or event.depth == 0)
