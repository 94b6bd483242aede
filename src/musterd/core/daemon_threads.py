"""Threads for tools that are plain functions.

They are daemon threads, because the process waits for all others when it exits, and a tool may never return. A call
costs one queue operation and one wake-up of the event loop; the standard library's executor would add a second future
with its own lock.
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from musterd.core.jsontypes import Json

T = TypeVar("T")


class _Call(NamedTuple, Generic[T]):
    """A call that waits for a thread."""

    function: Callable[[], T]
    future: "asyncio.Future[T]"


class DaemonThreads:
    """Makes calls in up to ``limit`` threads, which are started when they are needed.

    :param limit: how many calls run at once; further calls wait.
    :param name: prefix of the threads' names.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._calls: queue.SimpleQueue[_Call[Json] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle_count = 0
        self._is_shut_down = False

    def call(self, function: Callable[[], T], /) -> "asyncio.Future[T]":
        """Call ``function`` in a thread, with the current context variables.

        If the future is cancelled, a call that waits for a thread is dropped, and a call that is running continues.

        :raises RuntimeError: the threads were shut down.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = _Call(partial(contextvars.copy_context().run, function), future)
        # The lock covers both the queueing and the counting of a thread for the call. A shutdown in between would leave
        # a call that no thread takes, and its caller would wait forever.
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("the threads were shut down")
            self._calls.put(call)
            if self._idle_count:  # one of the threads that wait takes this call
                self._idle_count -= 1
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._count}", daemon=True).start()
        return future

    def shutdown(self) -> None:
        """Accept no more calls. Running calls continue; waiting ones are dropped."""
        with self._lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
            # One for each thread, which ends when it takes it.
            for _ in range(self._count):
                self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            # A future may be changed only in the event loop's thread, but its state may be read here.
            is_due = not self._is_shut_down and not call.future.cancelled()
            outcome = _outcome(call.function) if is_due else None
            with self._lock:  # before the report, so that the caller's next call can use this thread
                self._idle_count += 1
            if outcome is not None:
                with contextlib.suppress(RuntimeError):  # the event loop is closed, so there is no caller
                    call.future.get_loop().call_soon_threadsafe(_report, call.future, *outcome)
            del call, outcome  # an idle thread must not keep the call's arguments and result alive


def _outcome(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """The result of ``function``, and the exception that it raised."""
    # The traceback of the exception refers to this frame. So the frame must not refer to the future, which holds the
    # exception: both would live until the garbage collector finds them.
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - raised again in the task that waits for the call
        can_be_raised = isinstance(error, Exception | SystemExit) and not isinstance(error, StopIteration)
        return None, error if can_be_raised else _as_runtime_error(error)


def _report(future: "asyncio.Future[T | None]", result: T | None, error: BaseException | None) -> None:
    if future.done():  # the caller was cancelled meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _as_runtime_error(error: BaseException) -> RuntimeError:
    """Replace an exception that would end the event loop, or that cannot be set on a future."""
    replacement = RuntimeError(f"{type(error).__name__}: {error}".removesuffix(": "))
    replacement.__cause__ = error
    return replacement
