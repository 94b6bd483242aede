"""A page of a run's events as JSON. Each event has the same bytes as in a stream."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.wire.sse import json_of
from musterd.wire.states import STATUS, RunStatus

PAGE_BYTES = 8 * 1024 * 1024
"""A page ends with the event with which it gets longer, because other requests wait while it is put together."""


class RunEvent(TypedDict):
    """One event. Its further keys depend on its name."""

    event: Annotated[str, Field(description="The event's name.", examples=["TeamRunContent"])]
    created_at: Annotated[int, Field(description="Unix time in seconds.")]
    run_id: Annotated[str, Field(description="The run in which it happened: the root run or a member's.")]
    session_id: str
    nested_depth: Annotated[int, Field(description="0 for the root run, 1 for its members, 2 for their members.")]
    at: Annotated[float, Field(description="Unix time in seconds, with fractions.")]
    event_index: Annotated[int, Field(description="Strictly increasing within the root run.")]


class RunEventsPage(TypedDict):
    """A page of a run's events."""

    run_id: str
    session_id: str
    status: RunStatus
    events: list[RunEvent]
    last_event_index: Annotated[int, Field(description="The index at which the page ends: `after` of the next page.")]
    has_more: Annotated[bool, Field(description="Whether more events are stored.")]
    is_final: Annotated[bool, Field(description="Whether no events will follow.")]


class EventPage:
    """Collects events until there are ``limit``, or :data:`PAGE_BYTES`.

    :param after: the index after which the page begins.
    """

    def __init__(self, after: int, limit: int) -> None:
        self.last_index = after
        self._limit = limit
        self._events: list[bytes] = []
        self._bytes = 0
        self.has_more = False

    def take(self, index: int, frame: bytes | None) -> bool:
        """Add the next event. False if the page is full already.

        :param frame: the event's frame; None if the event is filtered out.
        """
        if frame is not None:
            if len(self._events) == self._limit or self._bytes > PAGE_BYTES:
                self.has_more = True
                return False
            self._events.append(json_of(frame))
            self._bytes += len(frame)
        self.last_index = index
        return True

    def as_json(self, run: RunRow) -> bytes:
        """The page as JSON text: a :class:`RunEventsPage`.

        :param run: the run as it was before its events were read, so that ``is_final`` does not hide later ones.
        """
        position = {
            "last_event_index": self.last_index,
            "has_more": self.has_more,
            "is_final": run.state.is_final and not self.has_more,
        }
        head = jsontext.dumps({"run_id": run.run_id, "session_id": run.session_id, "status": STATUS[run.state]})
        text = f'{head[:-1]},"events":['.encode("utf-8", "replace")
        return b"%s%s],%s" % (text, b",".join(self._events), jsontext.dumps(position)[1:].encode())
