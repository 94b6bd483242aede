"""Threads in which this server computes what would hold up the event loop.

The threads of ``asyncio.to_thread`` are not used for this. Asynchronous tools and the resolver of host names use those,
and may keep all of them for minutes; a database transaction that waits for a thread would wait with them.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8
"""More than cores, because some calls read files or import modules."""
_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="musterd-computing")


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function`` in a thread, with the current context variables.

    :param function: code of this server that ends by itself, and never code of users.
    """
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_executor, call)
