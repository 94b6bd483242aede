"""Threads for tools that are plain functions.

Like the standard library's pool, but with daemon threads: a tool that never returns must not hold up the end of the
process, which waits for threads of every other kind.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """An executor that runs calls in up to ``limit`` threads, which are started when they are needed.

    :param limit: how many calls run at once; further calls wait.
    :param name: prefix of the threads' names.
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
            except BaseException as error:  # noqa: BLE001 - raised again in the task that waits for the call
                can_be_raised = isinstance(error, Exception | SystemExit) and not isinstance(error, StopIteration)
                future.set_exception(error if can_be_raised else _as_runtime_error(error))
            else:
                future.set_result(result)

        # Queueing the call and counting a thread for it is one step: otherwise a shutdown in between would leave a call
        # that no thread takes, and its caller would wait forever.
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("the pool was shut down")
            self._calls.put(call)
            # The semaphore counts the threads that wait for a call. If it can be acquired, one of them takes this call;
            # otherwise a new thread is started, up to the limit.
            if not self._idle.acquire(blocking=False) and self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._count}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Take no more calls. Calls under way go on by themselves; waiting ones are not made."""
        with self._lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
            # One for each thread: a thread that takes it ends.
            for _ in range(self._count):
                self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._is_shut_down:
                call()
            del call  # it holds the call's arguments and its result
            self._idle.release()


def _as_runtime_error(error: BaseException) -> RuntimeError:
    """An ordinary exception in place of one that would end the event loop, or cannot be set on a future."""
    replacement = RuntimeError(f"{type(error).__name__}: {error}".removesuffix(": "))
    replacement.__cause__ = error
    return replacement
