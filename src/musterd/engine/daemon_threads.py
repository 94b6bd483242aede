"""Threads for tools that are plain functions.

As the standard library's pool, but its threads are daemons: a tool that never returns must not hold up the end of the
process, which would wait for every other kind of thread.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """Runs calls in up to ``limit`` threads, made when they are needed.

    :param limit: how many run at once; further calls wait.
    :param name: what the threads are called.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._count = 0
        self._is_shut_down = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run ``fn`` in a thread.

        :raises RuntimeError: the pool was shut down.
        """
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the call
                is_carried = isinstance(error, Exception | SystemExit) and not isinstance(error, StopIteration)
                future.set_exception(error if is_carried else _told(error))
            else:
                future.set_result(result)

        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("no more calls are taken")
            self._calls.put(call)
            if not self._idle.acquire(blocking=False) and self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._count}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Take no more calls. Those that have begun go on by themselves; the others are not made any more."""
        with self._lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
            for _ in range(self._count):
                self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._is_shut_down:
                call()
            del call  # it holds the call's arguments and its result
            self._idle.release()


def _told(error: BaseException) -> RuntimeError:
    """An error that can be handed on, in place of one that would do more than that."""
    told = RuntimeError(f"{type(error).__name__}: {error}".removesuffix(": "))
    told.__cause__ = error
    return told
