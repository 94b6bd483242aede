"""Members' runs that may be stopped one by one, while the others go on."""

import asyncio
from types import TracebackType
from typing import Self

_NOBODY: frozenset[str] = frozenset()  # one for all: there may be thousands of runs


class MemberStopped(Exception):
    """Somebody has stopped this member."""


class MemberStops:
    """Who is to stop, and where members are at work."""

    def __init__(self) -> None:
        self._stopped = _NOBODY
        self._at_work: dict[str, asyncio.Task[object]] = {}

    def stop(self, run_id: str) -> None:
        """End a member's run where it is; one that has not begun ends when it does."""
        if run_id in self._stopped:
            return
        self._stopped |= {run_id}
        if (task := self._at_work.get(run_id)) is not None:
            task.cancel()

    def scope(self, run_id: str) -> "_Scope":
        """Within it a member is at work."""
        return _Scope(run_id, self)

    def is_stopped(self, run_id: str) -> bool:
        """Whether somebody has stopped this member."""
        return run_id in self._stopped

    def began(self, run_id: str, task: "asyncio.Task[object]") -> None:
        """A member is at work, in this task."""
        self._at_work[run_id] = task

    def ended(self, run_id: str) -> None:
        """It is no longer."""
        del self._at_work[run_id]


class _Scope:
    """Turns the cancel that :meth:`MemberStops.stop` makes into :class:`MemberStopped`, and no other one."""

    def __init__(self, run_id: str, stops: MemberStops) -> None:
        self._run_id, self._stops = run_id, stops

    def __enter__(self) -> Self:
        if self._stops.is_stopped(self._run_id):
            raise MemberStopped
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._stops.began(self._run_id, task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.ended(self._run_id)
        if not self._stops.is_stopped(self._run_id):
            return
        # Only our own cancel is undone; somebody else's, come at the same time, stays a cancel.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise MemberStopped from error
