"""Threads in which the server computes."""

import asyncio
import contextvars
import threading

import pytest

from musterd.core import clock
from musterd.core.threads import in_thread


async def test_tools_that_keep_all_threads_of_asyncio_do_not_hold_the_server_up() -> None:
    """A transaction that waited for a thread would keep its locks until Postgres ends it."""
    is_over = threading.Event()
    tools = [asyncio.create_task(asyncio.to_thread(is_over.wait)) for _ in range(64)]
    await clock.yield_to_others()  # each has its place in the queue
    try:
        assert await asyncio.wait_for(in_thread(sum, [1, 2]), timeout=60) == 3
    finally:
        is_over.set()
        await asyncio.gather(*tools)


async def test_a_call_sees_the_context_and_its_exception_is_raised() -> None:
    name = contextvars.ContextVar("name", default="")
    name.set("ada")
    assert await in_thread(name.get) == "ada"
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)
