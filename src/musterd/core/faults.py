"""Named points in the code at which a crash matters. Tests kill or stop a process there; otherwise they do nothing.

``MUSTERD_TEST_FAULT=<point>:<n>:<kill|stop>`` makes the process kill itself (SIGKILL) or stop (SIGSTOP) the n-th time
that it passes the point.
"""

import os
import signal
from dataclasses import dataclass

VARIABLE = "MUSTERD_TEST_FAULT"
POINTS = (
    "accepting", "accepted",  # before and after the commit that accepts a run
    "claiming", "claimed",  # … that claims a run
    "asking", "asked",  # before and after a model call
    "intending", "intended",  # before and after the commit of a turn's model step and the intents of its calls
    "performing", "performed",  # before and after the effect of a tool call
    "recording", "recorded",  # before and after the commit of its result
    "flushing", "flushed",  # … of a flush of events
    "settling", "settled",  # … that finishes a run
    "handing_over", "handed_over",  # … that releases a run during a stop
    "taking_over", "taken_over",  # … that reassigns the runs of a dead worker
    "embedder_loading",  # before the embedder of a knowledge base is loaded and a content is claimed
    "content_read",  # after the document of a content was parsed
    "content_storing", "content_split",  # before the commit of a slice of its chunks, and after that of all of them
    "content_embedding", "content_embedded",  # after a batch was embedded, and after the commit of a full batch
    "content_publishing", "content_published",  # before and after the commit that publishes it
    "content_reembedding", "content_reembedded",  # after another embedder's batch, and after the commit of its vectors
    "firing", "fired",  # before and after the commit that fires a schedule
    "part_imported",  # after the commit of a part of an imported session
    "sending", "sent",  # before a webhook is sent, and before the outcome is stored
)  # fmt: skip
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


@dataclass(slots=True)
class _ArmedFault:
    name: str
    passes_left: int
    signal: signal.Signals


def _parse_fault(text: str | None) -> _ArmedFault | None:
    if not text:
        return None
    name, passes, action = text.split(":")
    if name not in POINTS:
        raise ValueError(f"{VARIABLE}: unknown fault point {name}")
    return _ArmedFault(name, int(passes), _SIGNALS[action])


_fault = _parse_fault(os.environ.get(VARIABLE))


def point(name: str) -> None:
    """Pass the point ``name``."""
    if _fault is not None and _fault.name == name:
        _fault.passes_left -= 1
        if _fault.passes_left == 0:
            os.kill(os.getpid(), _fault.signal)
