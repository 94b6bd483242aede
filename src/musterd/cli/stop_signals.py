"""The signals that end a command, and the handler of SIGINT and SIGTERM."""

import os
import signal
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which comes when the terminal closes; nothing if it is ignored, as ``nohup`` has it."""
    return () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)


def in_this_process(stop: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    """A signal handler that calls ``stop`` here. In a process forked from this one, the signal ends the process."""
    server_pid = os.getpid()

    def on_signal(signal_number: int, frame: FrameType | None) -> None:
        # A child that a tool has forked, for example for a pool, inherits the handler but has no server to stop. It
        # would ignore the signal until the exit timer ends it, and a tool that waits for the child would hang as long.
        if os.getpid() != server_pid:
            signal.signal(signal_number, signal.SIG_DFL)
            os.kill(os.getpid(), signal_number)
            return
        stop()

    return on_signal
