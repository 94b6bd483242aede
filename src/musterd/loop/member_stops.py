"""Cancelling single members' runs while the rest of the tree goes on."""

import asyncio
from types import TracebackType
from typing import Self

_NONE: frozenset[str] = frozenset()  # shared, because there may be thousands of runs


class MemberStopped(Exception):
    """This member's run was cancelled on its own."""


class MemberStops:
    """The members' runs that were cancelled, and the tasks of those that are running."""

    def __init__(self) -> None:
        self._stopped = _NONE
        self._running: dict[str, asyncio.Task[object]] = {}

    def stop(self, run_id: str) -> None:
        """Cancel a member's run. If it has not begun, it ends as soon as it does."""
        if run_id in self._stopped:
            return
        # Before the cancel, so that the scope recognizes it as its own.
        self._stopped |= {run_id}
        if (task := self._running.get(run_id)) is not None:
            task.cancel()

    def scope(self, run_id: str) -> "_Scope":
        """A context manager around the drive of a member's run."""
        return _Scope(run_id, self)

    def is_stopped(self, run_id: str) -> bool:
        """Whether this member's run was cancelled."""
        return run_id in self._stopped

    def began(self, run_id: str, task: "asyncio.Task[object]") -> None:
        """Note that a member's run has begun in this task."""
        self._running[run_id] = task

    def ended(self, run_id: str) -> None:
        """Note that a member's run has ended."""
        del self._running[run_id]


class _Scope:
    """Turns a cancel by :meth:`MemberStops.stop` into :class:`MemberStopped`. Any other cancel passes."""

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
        # Undo our own cancel only. If the whole run was cancelled at the same time, the count stays higher than at the
        # start and the CancelledError passes.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise MemberStopped from error
