"""Calls of functions in a declaration: hooks, and functions that return instructions, dependencies or tools."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from musterd.core.jsontypes import Json
from musterd.loop.contained_exits import exits_contained
from musterd.loop.task_abandonment import run_user_code

T = TypeVar("T")


class Threads(Protocol):
    """The threads of plain functions."""

    def call(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Call ``function`` in a thread, with the current context variables."""
        ...


async def call(threads: Threads, function: Callable[..., Json], values: Mapping[str, Json]) -> Json:
    """Call ``function`` with ``values`` as keyword arguments.

    An async function runs on the event loop, a plain one in a thread with the current context variables. A plain
    wrapper of an async function returns an awaitable, which is awaited here.
    """
    name = getattr(function, "__qualname__", "?")
    if inspect.iscoroutinefunction(function):
        return await run_user_code(awaited(function(**values)), function=name)
    returned = await call_in_thread(threads, functools.partial(function, **values))
    return await run_user_code(awaited(returned), function=name) if inspect.isawaitable(returned) else returned


async def call_in_thread(threads: Threads, function: Callable[[], Json]) -> Json:
    """Call a plain function in a thread, and return what it returns.

    The wait needs no task of its own: a cancel ends it at once, and the function runs on.
    """
    with exits_contained:
        return await threads.call(function)


async def awaited(awaitable: Awaitable[Json]) -> Json:
    """Await what user code returned; an exit that it raises becomes an error."""
    with exits_contained:
        return await awaitable
