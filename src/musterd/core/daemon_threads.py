"""Threads for tools that are plain functions.

They are daemon threads, because the process waits for all others when it exits, and a tool may never return. A call
costs one queue operation and one wake-up of the event loop; the standard library's executor would add a second future
with its own lock.

A function that does not return after its call was cancelled keeps its thread, which cannot be stopped. Another thread
takes its place, so that such functions do not hold up all others; there is a limit for these threads too.
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog

from musterd.core.jsontypes import Json

log = structlog.get_logger("musterd.engine")

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    """A call that waits for a thread, or runs in one.

    :ivar is_abandoned: whether it was cancelled while it ran, and still runs.
    """

    function: Callable[[], T]
    future: "asyncio.Future[T]"
    is_running: bool = False
    is_abandoned: bool = False


class DaemonThreads:
    """Makes calls in up to ``limit`` threads, which are started when they are needed.

    :param limit: how many calls run at once, apart from abandoned ones; further calls wait.
    :param name: prefix of the threads' names.
    :param most: how many threads there are at most, with those of abandoned calls. None: as many as ``limit``.
    """

    def __init__(self, limit: int, name: str, *, most: int | None = None) -> None:
        self._limit = limit
        self._most = limit if most is None else most
        self._name = name
        self._calls: queue.SimpleQueue[_Call[Json] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle_count = 0
        self._waiting_count = 0
        self._abandoned_count = 0
        self._is_shut_down = False

    def call(self, function: Callable[[], T], /) -> "asyncio.Future[T]":
        """Call ``function`` in a thread, with the current context variables.

        If the future is cancelled, a call that waits for a thread is dropped, and a call that is running continues,
        in addition to ``limit`` other calls.

        :raises RuntimeError: the threads were shut down.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = _Call(partial(contextvars.copy_context().run, function), future)
        if self._most > self._limit:
            future.add_done_callback(partial(self._look_at_cancelled, call))
        # The lock covers both the queueing and the counting of a thread for the call. A shutdown in between would leave
        # a call that no thread takes, and its caller would wait forever.
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("the threads were shut down")
            self._calls.put(call)
            if self._idle_count:  # one of the threads that wait takes this call
                self._idle_count -= 1
            elif self._count < self._allowed_count:
                self._start_thread()
            else:
                self._waiting_count += 1
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

    @property
    def _allowed_count(self) -> int:
        """How many threads there may be. The lock must be held."""
        return min(self._limit + self._abandoned_count, self._most)

    def _start_thread(self) -> None:
        """Start a thread, which takes a call from the queue. The lock must be held."""
        self._count += 1
        threading.Thread(target=self._work, name=f"{self._name}-{self._count}", daemon=True).start()

    def _look_at_cancelled(self, call: _Call[T], future: "asyncio.Future[T]") -> None:
        """Let another thread take the place of one whose call was cancelled and still runs."""
        if not future.cancelled():
            return
        with self._lock:
            if not call.is_running:
                return
            call.is_abandoned = True
            self._abandoned_count += 1
            abandoned_count, is_the_most = self._abandoned_count, self._limit + self._abandoned_count > self._most
            if self._waiting_count and self._count < self._allowed_count and not self._is_shut_down:
                self._waiting_count -= 1
                self._start_thread()
        if is_the_most or abandoned_count == self._limit:
            log.warning("functions run on after their calls were cancelled", threads=self._name, count=abandoned_count)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            with self._lock:
                # A future may be changed only in the event loop's thread, but its state may be read here.
                call.is_running = not self._is_shut_down and not call.future.cancelled()
            outcome = _outcome(call.function) if call.is_running else None
            with self._lock:  # before the report, so that the caller's next call can use this thread
                is_needed = self._go_on_after(call)
            if outcome is not None:
                with contextlib.suppress(RuntimeError):  # the event loop is closed, so there is no caller
                    call.future.get_loop().call_soon_threadsafe(_report, call.future, *outcome)
            if not is_needed:
                return
            del call, outcome  # an idle thread must not keep the call's arguments and result alive

    def _go_on_after(self, call: _Call[Json]) -> bool:
        """Note that a thread has finished a call. False if it is one too many. The lock must be held."""
        call.is_running = False
        if call.is_abandoned:
            self._abandoned_count -= 1
        if self._count > self._allowed_count:  # another thread has taken its place
            self._count -= 1
            return False
        if self._waiting_count:  # it takes one of the calls that wait
            self._waiting_count -= 1
        else:
            self._idle_count += 1
        return True


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
