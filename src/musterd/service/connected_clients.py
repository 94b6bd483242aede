"""Who still waits for a run that was started by a stream.

Such a run is cancelled when everybody has gone: the last reader's connection was closed by the peer, and nobody came
back within the grace. A process that stops sees no disconnects.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any


class ConnectedClients:
    """Counts those who wait for a run, and tells when one is abandoned.

    :param grace_seconds: how long nobody may be there.
    :param abandon: what is done then, with the root run's id.
    """

    def __init__(self, grace_seconds: float, abandon: Callable[[str], Coroutine[Any, Any, object]]) -> None:
        self._grace_seconds = grace_seconds
        self._abandon = abandon
        self._waiting: Counter[str] = Counter()
        self._needs_company: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    def needs_company(self, root_id: str) -> None:
        """Cancel this run when it is abandoned."""
        self._needs_company.add(root_id)

    def knows(self, root_id: str) -> bool:
        """Whether this process is the one that would cancel the run."""
        return root_id in self._needs_company

    @contextlib.contextmanager
    def waiting(self, root_id: str) -> Iterator[None]:
        """Count the block as one that waits for the run. Only this server cancels it, never a client that goes away."""
        is_sent_away = False
        self.enter(root_id)
        try:
            yield
        except asyncio.CancelledError:
            is_sent_away = True
            raise
        finally:
            self.leave(root_id, is_sent_away=is_sent_away)

    def enter(self, root_id: str) -> None:
        """Somebody waits for the run."""
        self._waiting[root_id] += 1
        if (timer := self._timers.pop(root_id, None)) is not None:
            timer.cancel()

    def leave(self, root_id: str, *, is_over: bool = False, is_sent_away: bool = False) -> None:
        """Somebody stopped waiting.

        :param is_over: the run has ended: there is nothing to cancel any more.
        :param is_sent_away: it was us who ended the connection: that says nothing about the client, so the run goes on.
        """
        self._waiting[root_id] -= 1
        if self._waiting[root_id] <= 0:
            del self._waiting[root_id]
        if is_over:
            self.forget(root_id)
        elif root_id in self._needs_company and root_id not in self._waiting and not self._is_stopping:
            if is_sent_away:
                self.forget(root_id)
                return
            loop = asyncio.get_running_loop()
            self._timers[root_id] = loop.call_later(self._grace_seconds, self._is_abandoned, root_id)

    def forget(self, root_id: str) -> None:
        """The run has ended, or goes on alone."""
        self._needs_company.discard(root_id)
        if (timer := self._timers.pop(root_id, None)) is not None:
            timer.cancel()

    def stop(self) -> None:
        """The process stops: connections that close from now on say nothing about clients."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _is_abandoned(self, root_id: str) -> None:
        self.forget(root_id)
        task = asyncio.ensure_future(self._abandon(root_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
