"""Named places where a crash matters. Tests have a process die, or stop, at one of them; elsewhere they do nothing.

``MUSTERD_TEST_FAULT=<point>:<n>:<kill|stop>`` makes the process kill itself (SIGKILL), or stop (SIGSTOP), the n-th
time that it passes the point.
"""

import os
import signal
from dataclasses import dataclass

VARIABLE = "MUSTERD_TEST_FAULT"
POINTS = (
    "accepting", "accepted",  # before and after the commit of the acceptance
    "claiming", "claimed",  # … of a claim
    "asking", "asked",  # before and after a model call
    "intending", "intended",  # before and after the commit of a turn's model step and the intents of its calls
    "performing", "performed",  # before and after the effect of a tool call
    "recording", "recorded",  # before and after the commit of its result
    "flushing", "flushed",  # … of a flush of events
    "settling", "settled",  # … of the end
    "handing_over", "handed_over",  # … of a hand-over
    "taking_over", "taken_over",  # … of taking a dead worker's runs
    "sending", "sent",  # before a webhook is told, and before it is noted what came of it
)  # fmt: skip
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass(slots=True)
class _Armed:
    name: str
    passes_left: int
    signal: signal.Signals


def _armed(text: str | None) -> _Armed | None:
    if not text:
        return None
    name, passes, what = text.split(":")
    if name not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no point {name}")
    return _Armed(name, int(passes), _SIGNALS[what])


_fault = _armed(os.environ.get(VARIABLE))


def point(name: str) -> None:
    """Pass the point ``name``."""
    if _fault is not None and _fault.name == name:
        _fault.passes_left -= 1
        if _fault.passes_left == 0:
            os.kill(os.getpid(), _fault.signal)
