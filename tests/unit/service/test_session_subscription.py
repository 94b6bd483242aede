"""How far the subscriber of a session has read when the process stops."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from musterd.core.events import Event, EventKind
from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.service.session_subscription import SessionSubscription, SubscribedRun


class ClosedSubscription:
    """The events of a run that had arrived when the process began to stop."""

    is_closed, is_dropped, has_news = True, False, False

    def __init__(self, *flushes: Any) -> None:
        self._flushes = flushes

    async def available(self) -> AsyncIterator[Any]:
        for flush in self._flushes:
            yield flush

    def close(self) -> None:
        """There is nothing to give back."""


def running(run_id: str, seq: int, *flushes: Any) -> SubscribedRun:
    """A run that is at work, whose event 3 was read."""
    root: Any = SimpleNamespace(run_id=run_id, seq=seq, state=RunState.RUNNING, next_event=5)
    subscription: Any = ClosedSubscription(*flushes)
    return SubscribedRun(root, subscription, 3)


async def test_a_run_whose_end_was_not_read_is_in_the_cursor_of_a_stopping_process() -> None:
    """Else the subscriber would resume on another process without the rest of that run."""
    event = Event(EventKind.CONTENT, "second", 0.0, {"text": "x"}, "")
    subscription: Any = object.__new__(SessionSubscription)  # without a database, which has nothing to do with this
    vars(subscription).update(
        _watch=SimpleNamespace(has_changed=False, is_closed=True),
        _retry_at=float("inf"),
        _position=Cursor(2, session_created_at=1.0),
        _cursor_indexes={},
        _is_closed_by_server=False,
        _following=SimpleNamespace(connected_clients=SimpleNamespace(leave=lambda *_, **__: None)),
        _runs={
            "first": running("first", 1),
            "second": running("second", 2, SimpleNamespace(first_index=4, events=[event])),
        },
    )
    cursors = [subscription.cursor_beside(run) async for run, _ in subscription.available()]
    assert [dict(cursor.runs) for cursor in cursors] == [{"first": 3}]
