"""Calls of functions in a declaration: hooks, and functions that return instructions, dependencies or tools."""

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from musterd.core.jsontypes import Json
from musterd.loop.contained_exits import exits_contained
from musterd.loop.task_abandonment import run_user_code


async def call(threads: Executor, function: Callable[..., Json], values: Mapping[str, Json]) -> Json:
    """Call ``function`` with ``values`` as keyword arguments.

    An async function runs on the event loop, a plain one in a thread with the current context variables. A plain
    wrapper of an async function returns an awaitable, which is awaited here.
    """
    return await run_user_code(_called(threads, function, values), function=getattr(function, "__qualname__", "?"))


async def _called(threads: Executor, function: Callable[..., Json], values: Mapping[str, Json]) -> Json:
    with exits_contained:
        if inspect.iscoroutinefunction(function):
            return await function(**values)
        bound = functools.partial(function, **values)
        result = await asyncio.get_running_loop().run_in_executor(threads, contextvars.copy_context().run, bound)
        return await result if inspect.isawaitable(result) else result
