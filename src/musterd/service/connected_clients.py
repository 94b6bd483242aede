"""Counts the clients connected to each run, so that a run whose clients all disconnect can be cancelled.

Only runs that were started by a stream are cancelled, and only if the client closed the connection and no client came
back within the grace period. Connections that this server closes, for example while it stops, do not count.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any


class ConnectedClients:
    """Counts the clients of each run and calls ``on_abandoned`` after the last one disconnects.

    :param grace_seconds: how long a run may have no client before it counts as abandoned.
    :param on_abandoned: called with the id of the abandoned root run.
    """

    def __init__(self, grace_seconds: float, on_abandoned: Callable[[str], Coroutine[Any, Any, object]]) -> None:
        self._grace_seconds = grace_seconds
        self._on_abandoned = on_abandoned
        self._client_counts: Counter[str] = Counter()
        self._tracked: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    def track(self, root_id: str) -> None:
        """Cancel this run if it is abandoned."""
        self._tracked.add(root_id)

    def tracks(self, root_id: str) -> bool:
        """Whether this process is the one that would cancel the run."""
        return root_id in self._tracked

    @contextlib.contextmanager
    def waiting(self, root_id: str) -> Iterator[None]:
        """Count one client of the run for as long as the block runs."""
        is_closed_by_server = False
        self.enter(root_id)
        try:
            yield
        except asyncio.CancelledError:
            # Only this server cancels a waiting request. A client that disconnects does not.
            is_closed_by_server = True
            raise
        finally:
            self.leave(root_id, is_closed_by_server=is_closed_by_server)

    def enter(self, root_id: str) -> None:
        """Count one more client of the run."""
        self._client_counts[root_id] += 1
        if (timer := self._timers.pop(root_id, None)) is not None:
            timer.cancel()

    def leave(self, root_id: str, *, is_over: bool = False, is_closed_by_server: bool = False) -> None:
        """Count one client less.

        :param is_over: the run has finished, so there is nothing left to cancel.
        :param is_closed_by_server: this server closed the connection. The client may still want the result, so the run
            goes on.
        """
        self._client_counts[root_id] -= 1
        if self._client_counts[root_id] <= 0:
            del self._client_counts[root_id]
        if is_over:
            self.forget(root_id)
        elif root_id in self._tracked and root_id not in self._client_counts and not self._is_stopping:
            if is_closed_by_server:  # the client may still want the result: stop tracking the run
                self.forget(root_id)
                return
            loop = asyncio.get_running_loop()
            self._timers[root_id] = loop.call_later(self._grace_seconds, self._abandon, root_id)

    def forget(self, root_id: str) -> None:
        """Stop tracking the run: it has finished, or goes on without clients."""
        self._tracked.discard(root_id)
        if (timer := self._timers.pop(root_id, None)) is not None:
            timer.cancel()

    def stop(self) -> None:
        """Cancel no more runs: while the process stops, it closes the connections itself."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:  # it may wait for the database
            task.cancel()

    def _abandon(self, root_id: str) -> None:
        self.forget(root_id)
        task = asyncio.ensure_future(self._on_abandoned(root_id))
        # The event loop holds tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
