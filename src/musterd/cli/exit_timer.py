"""Ends the process in time, even if user code has left tasks or threads.

At exit Python waits for all remaining tasks and threads, and tools may leave some that never end.
"""

import os
import sys
import threading

import structlog

log = structlog.get_logger("musterd.cli")

STOP_MARGIN_SECONDS = 8.0
"""How long a stop may take in addition to the drain before the process exits anyway."""
LEFTOVER_SECONDS = 2.0
"""How long the process waits after a complete stop for tasks and threads that tools have left."""


def exit_after_stop(drain_seconds: float) -> None:
    """Limit the time of a stop that begins now. If it is not complete by then, the event loop is probably blocked.

    Runs that were not released are recovered by other processes, as after a crash.

    :param drain_seconds: how long current steps may take to finish.
    """
    seconds = drain_seconds + STOP_MARGIN_SECONDS
    _exit_after(
        seconds, 1, f"the stop is not complete after {seconds:g} s; exiting now, other processes recover the runs"
    )


def exit_without_leftovers() -> None:
    """Exit soon: the stop is complete, and any remaining task or thread was left by a tool."""
    _exit_after(LEFTOVER_SECONDS, 0, "exiting although tools left tasks or threads running")


def _exit_after(seconds: float, code: int, reason: str) -> None:
    """Exit with ``code`` after ``seconds``, unless the process has ended by then."""

    def exit_now() -> None:
        log.warning(reason)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # sys.exit would wait for tasks and threads

    timer = threading.Timer(seconds, exit_now)
    timer.daemon = True
    timer.start()
