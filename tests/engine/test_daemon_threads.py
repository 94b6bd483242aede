"""Threads for plain functions: results, waiting calls, and cancelled callers."""

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from structlog.testing import capture_logs

from musterd.core import clock
from musterd.core.daemon_threads import DaemonThreads

NAME = contextvars.ContextVar("NAME", default="nobody")


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    """Two threads at most."""
    pool = DaemonThreads(2, "test")
    yield pool
    pool.shutdown()


async def test_a_call_has_the_context_variables_of_its_caller(threads: DaemonThreads) -> None:
    NAME.set("ada")
    assert await threads.call(lambda: (NAME.get(), threading.current_thread().daemon)) == ("ada", True)


@pytest.mark.parametrize("error", [StopIteration("done"), KeyboardInterrupt("stop"), asyncio.CancelledError("no")])
async def test_an_exception_that_would_end_the_event_loop_is_replaced(
    threads: DaemonThreads, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=f"{type(error).__name__}: {error}"):
        await threads.call(fail)


async def test_calls_over_the_limit_wait_for_a_thread(threads: DaemonThreads) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> str:
        begun.release()
        release.wait()
        return threading.current_thread().name

    calls = [threads.call(hold) for _ in range(3)]
    assert begun.acquire(timeout=30)
    assert begun.acquire(timeout=30)
    assert not begun.acquire(blocking=False), "the third call has no thread yet"
    release.set()
    assert len(set(await asyncio.gather(*calls))) == 2


async def test_a_waiting_call_of_a_cancelled_caller_is_dropped(threads: DaemonThreads) -> None:
    release, calls = threading.Event(), list[str]()
    held = [threads.call(release.wait) for _ in range(2)]
    waiting, last = threads.call(lambda: calls.append("cancelled")), threads.call(lambda: calls.append("last"))
    waiting.cancel()
    release.set()
    await asyncio.gather(*held, last)
    assert calls == ["last"]


async def test_a_running_call_continues_if_its_caller_is_cancelled(threads: DaemonThreads) -> None:
    begun, release, ended = asyncio.Event(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        release.wait()
        loop.call_soon_threadsafe(ended.set)

    call = threads.call(work)
    await begun.wait()
    call.cancel()
    release.set()
    await ended.wait()
    assert await threads.call(lambda: "free again") == "free again"


async def test_another_thread_takes_the_place_of_a_call_that_runs_on() -> None:
    pool, release = DaemonThreads(1, "test", most=2), threading.Event()
    loop, running = asyncio.get_running_loop(), asyncio.Event()

    def hang() -> None:
        loop.call_soon_threadsafe(running.set)
        release.wait()

    async def abandoned(call: "asyncio.Future[None]") -> None:
        await running.wait()
        running.clear()
        call.cancel()

    try:
        hung, waiting = pool.call(hang), pool.call(lambda: "waited")
        await abandoned(hung)
        async with asyncio.timeout(30):  # without the other thread it would wait for ever
            assert await waiting == "waited"
        assert await pool.call(lambda: "next") == "next"
        with capture_logs() as lines:
            await abandoned(pool.call(hang))
            late = pool.call(lambda: threading.current_thread().name)  # there are as many threads as there may be
            await clock.yield_to_others()
        assert [line["count"] for line in lines] == [2]
        assert not late.done()
        release.set()
        first = await late
        names = await asyncio.gather(*(pool.call(lambda: threading.current_thread().name) for _ in range(9)))
        assert {first, *names} <= {"test-1", "test-2"}
        assert len(set(names)) == 1, "one thread is left"
    finally:
        release.set()
        pool.shutdown()


async def test_after_a_shutdown_no_call_is_made(threads: DaemonThreads) -> None:
    await threads.call(lambda: None)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        await threads.call(lambda: None)


async def test_an_idle_thread_does_not_keep_a_result_alive(threads: DaemonThreads) -> None:
    class Large:
        pass

    def fail(large: Large) -> None:
        raise ValueError(large)

    gc.disable()  # so that the test fails if only the collector can free it
    try:
        argument = Large()
        references = [weakref.ref(argument)]
        with pytest.raises(ValueError, match="Large"):
            await threads.call(partial(fail, argument))
        result = await threads.call(Large)
        references.append(weakref.ref(result))
        del argument, result
        for _ in range(2):  # so that both threads have made another call
            await threads.call(lambda: None)
        await asyncio.gather(threads.call(lambda: None), threads.call(lambda: None))
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()
