"""Cancellation of user code, which may swallow a cancel and keep running.

A task that has not stopped within a time limit after its cancel is abandoned, so that no run waits for it. A task
cannot be killed. It runs on, but its result is discarded, and its run accepts no more steps or events from it.
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
"""How long user code may take to stop after it was cancelled."""

_abandoned: set["asyncio.Task[Any]"] = set()  # strong references, because the event loop holds tasks only weakly


class OutOfTime(Exception):
    """Code returned no result within its time."""


async def run_user_code(
    code: Coroutine[Any, Any, T], on_abandoned: Callable[[], object] | None = None, **about: str
) -> T:
    """Run ``code`` in its own task and return its result.

    A cancel is passed on to ``code``. If it has not stopped after ``STOP_SECONDS``, it is abandoned. If it returns a
    result in spite of the cancel, that result counts, and the cancel takes effect at the next step
    (:func:`is_cancelled`).

    :param on_abandoned: called if ``code`` is abandoned.
    :param about: fields for the log lines.
    :raises BaseException: any exception that ``code`` raises.
    """
    task = asyncio.create_task(_outcome(code))
    try:
        # Unlike `await task`, this does not pass a cancel on at once: stop_within does, and limits the time.
        await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await stop_within(task, STOP_SECONDS, **about)
        finally:  # a second cancel may interrupt the wait, for example the run's after the tool's timeout
            if not task.done() and on_abandoned is not None:
                on_abandoned()
        if not task.done():
            raise
    result, error = task.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only if an error was raised


async def run_within(
    limit: asyncio.Timeout, code: Coroutine[Any, Any, T], on_abandoned: Callable[[], object], **about: str
) -> T:
    """Run ``code``, which is part of user code that :func:`run_user_code` runs, and stop it when its time is over.

    A cancel is passed on to ``code`` without a limit of its own: that of the user code around it holds.

    :param limit: the time limit; ``code`` may set it.
    :param on_abandoned: called if ``code`` is abandoned after its time.
    :param about: fields for the log lines.
    :raises OutOfTime: the time was over, and ``code`` returned no result in spite of it.
    :raises BaseException: any exception that ``code`` raises in time.
    """
    task, is_over = asyncio.create_task(_outcome(code)), False
    try:
        async with limit:
            await asyncio.wait([task])
    except TimeoutError:
        is_over = True
        try:
            await stop_within(task, STOP_SECONDS, **about)
        finally:  # a cancel may interrupt the wait
            if not task.done():
                on_abandoned()
        if not task.done():
            raise OutOfTime from None
    except asyncio.CancelledError:
        task.cancel()
    result, error = await task
    if error is not None and is_over:  # it may have had its effect before
        raise OutOfTime from error
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only if an error was raised


async def _outcome(code: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    try:
        return await code, None
    except BaseException as error:  # noqa: BLE001 - returned, because a SystemExit raised in a task ends the event loop
        return None, error


async def stop_within(task: "asyncio.Task[Any]", seconds: float, **about: str) -> bool:
    """Cancel ``task`` and wait until it has stopped. Abandon it if it has not stopped after ``seconds``.

    :param about: fields for the log lines.
    :return: whether the task has stopped.
    """
    task.cancel()
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:  # this wait may be cancelled itself
        if not task.done():
            _abandon(task, about)
    return task.done()


def _abandon(task: "asyncio.Task[Any]", about: dict[str, str]) -> None:
    log.warning("code ignored its cancellation and was abandoned; its result is discarded", **about)
    _abandoned.add(task)
    task.add_done_callback(partial(_stopped_late, about, clock.monotonic()))


def _stopped_late(about: dict[str, str], since: float, task: "asyncio.Task[Any]") -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # retrieve it, or asyncio logs "Task exception was never retrieved"
    log.info("abandoned code has stopped", seconds=round(clock.monotonic() - since, 3), **about)


def is_cancelled() -> bool:
    """Whether the current task was cancelled, even if the code that it awaited swallowed the cancel."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
