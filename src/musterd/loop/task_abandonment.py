"""Stopping code that does not stop: user code may swallow a cancel, and no run may wait for it.

A task that has not ended within a bound after its cancel is abandoned. It cannot be killed: it goes on by itself, what
it returns is void, and the steps and events of its run refuse it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import structlog

from musterd.core import clock

log = structlog.get_logger("musterd.engine")

T = TypeVar("T")

STOP_SECONDS = 2.0
"""How long user code may take to end after it was cancelled."""

_abandoned: set["asyncio.Task[Any]"] = set()  # the event loop itself holds tasks only weakly


async def run_user_code(
    code: Coroutine[Any, Any, T], on_abandoned: Callable[[], object] | None = None, **about: str
) -> T:
    """Run ``code`` in a task of its own and return what it returns.

    A cancel is passed on to ``code``. If it has not ended after ``STOP_SECONDS`` it is abandoned. If it returns a
    result all the same, that is the result, and the cancel takes effect at the next step (:func:`is_cancelled`).

    :param on_abandoned: called if ``code`` is abandoned.
    :param about: what the log says of it.
    :raises BaseException: whatever ``code`` raises.
    """
    task = asyncio.create_task(_outcome(code))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        try:
            await stop_within(task, STOP_SECONDS, **about)
        finally:  # also if it is cancelled once more: by its run, after its own time was over
            if not task.done() and on_abandoned is not None:
                on_abandoned()
        if not task.done():
            raise
    result, error = task.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is one if nothing was raised


async def _outcome(code: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    try:
        return await code, None
    except BaseException as error:  # noqa: BLE001 - raised again by who awaits it; from a task SystemExit ends the loop
        return None, error


async def stop_within(task: "asyncio.Task[Any]", seconds: float, **about: str) -> bool:
    """Cancel ``task`` and wait until it has ended; abandon it if it has not after ``seconds``.

    :param about: what the log says of it.
    :return: whether it has ended.
    """
    task.cancel()
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:  # also if this wait is cancelled itself
        if not task.done():
            _abandon(task, about)
    return task.done()


def _abandon(task: "asyncio.Task[Any]", about: dict[str, str]) -> None:
    log.warning("code does not stop when it is cancelled: it is abandoned, and its result is void", **about)
    _abandoned.add(task)
    task.add_done_callback(partial(_ended_late, about, clock.monotonic()))


def _ended_late(about: dict[str, str], since: float, task: "asyncio.Task[Any]") -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it as forgotten
    log.info("abandoned code has ended", seconds=round(clock.monotonic() - since, 3), **about)


def is_cancelled() -> bool:
    """Whether the current task was cancelled, also if something that it awaited has swallowed that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
