"""How far the subscriber of a session has read when the process stops."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from musterd.core.events import Event, EventKind
from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.service.session_subscription import NamedRuns, SessionSubscription, SubscribedRun
from tests.support.cpu_time import cpu_at_most


class ClosedSubscription:
    """The events of a run that had arrived when the process began to stop."""

    is_closed, has_news = True, False

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


def subscribed(*runs: SubscribedRun) -> Any:
    """A subscriber of a session that has these runs; without a database, which has nothing to do with these tests."""
    subscription: Any = object.__new__(SessionSubscription)
    seq = max(run.root.seq or 0 for run in runs)
    vars(subscription).update(
        _watch=SimpleNamespace(has_changed=False, is_closed=True),
        _retry_at=float("inf"),
        _position=Cursor(seq, session_created_at=1.0),
        _cursor_indexes={},
        _is_closed_by_server=False,
        _following=SimpleNamespace(connected_clients=SimpleNamespace(leave=lambda *_, **__: None)),
        _runs={run.root.run_id: run for run in runs},
        _named=NamedRuns(),
        _ready={run.root.run_id: None for run in runs},
    )
    for run in runs:
        subscription._named.add(run)
    subscription._named.extend(seq)
    return subscription


async def test_a_run_whose_end_was_not_read_is_in_the_cursor_of_a_stopping_process() -> None:
    """Else the subscriber would resume on another process without the rest of that run."""
    event = Event(EventKind.CONTENT, "second", 0.0, {"text": "x"}, "")
    flush = SimpleNamespace(first_index=4, events=[event])
    subscription = subscribed(running("first", 1), running("second", 2, flush))
    cursors = [subscription.cursor_beside(run) async for run, _ in subscription.available()]
    assert [dict(cursor.runs) for cursor in cursors] == [{"first": 3}]


def waiting(seq: int) -> SubscribedRun:
    """A run in the queue of the session, of which nothing was read."""
    run = running(f"run-{seq}", seq)
    run.last_index = -1
    return run


def test_a_flush_does_not_cost_a_look_at_the_runs_that_wait() -> None:
    head = running("head", 0)
    subscription = subscribed(head, *map(waiting, range(1, 10_001)))
    with cpu_at_most(0.5):  # it was 5 s
        cursors = [subscription.cursor_beside(head) for _ in range(1_000)]
    assert (cursors[-1].seq, cursors[-1].runs) == (0, {})


def test_a_run_is_named_when_one_behind_it_was_read() -> None:
    """Else a subscriber that comes back would not find it: all runs up to the place of the cursor are known."""
    head, parallel = running("head", 0), waiting(3)
    subscription = subscribed(head, waiting(1), waiting(2), parallel, waiting(4))
    assert subscription.cursor_beside(head).seq == 0
    cursor = subscription.cursor_beside(parallel)
    assert (cursor.seq, cursor.runs) == (3, {"head": 3, "run-1": -1, "run-2": -1})


def test_runs_beyond_the_searched_part_do_not_move_the_cursor() -> None:
    head, new = running("head", 0), waiting(2)
    subscription = subscribed(head)
    subscription._named.add(new)
    assert (subscription.cursor_beside(new).seq, subscription.cursor_beside(head).runs) == (0, {"run-2": -1})
    subscription._named.extend(2)
    assert subscription.cursor_beside(head).seq == 2
