"""Awaits branches of a run tree that run at the same time."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from musterd.core.errors import HandedOver
from musterd.loop.pausing import Waits

T = TypeVar("T")


async def gather(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Await all calls. A call that waits for a person lets the others finish; any other error cancels them first."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await _settle(tasks)
    except BaseException:
        # Await the cancelled calls too, so that they record their end before the attempt stores the end of the run.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = [error for task in tasks if (error := task.exception()) is not None]
    # A handover takes precedence over a pause: the next attempt continues the run and reaches the same questions.
    if handed_over := [error for error in errors if isinstance(error, HandedOver)]:
        raise handed_over[0]
    if waits := [error for error in errors if isinstance(error, Waits)]:
        raise Waits([requirement for error in waits for requirement in error.requirements])
    return [task.result() for task in tasks]


async def _settle(tasks: Sequence["asyncio.Future[T]"]) -> None:
    """Await all tasks. Raise the first error unless it means that a branch waits or continues in another attempt."""
    pending = set(tasks)
    while pending:
        # This also returns when a branch waits for a person, and the others go on, so it is repeated.
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, Waits | HandedOver):
                raise error
