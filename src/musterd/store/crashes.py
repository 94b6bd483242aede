"""Runs that take their worker with them: tried again later and later, alone, and given up in the end.

A run's crashes are counted since it last stored a step, and in all. From the second on it waits before it is claimed,
and is claimed by a process that drives nothing else meanwhile: bystanders are not charged for it.
"""

from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.store import events
from musterd.store.database import Tx

SOLO_FROM = 2
"""Crashes without a new step after which a run is driven alone."""
SOLO_CRASHES = 3
"""Crashes alone, without a new step, after which it is given up."""
CRASHES_IN_ALL = 50
"""Crashes in all after which it is given up."""
LONGEST_WAIT_SECONDS = 60.0
HAS_WAITED = f"(not_before IS NULL OR not_before <= :now OR not_before > :now + {LONGEST_WAIT_SECONDS})"
"""Whether a ready run has waited long enough, in SQL. Nobody waits longer than that: a time beyond it is that of a
clock which has been put back since."""

_BEGAN = {EventKind.MODEL_REQUEST_STARTED: "model call", EventKind.TOOL_CALL_STARTED: "tool"}
_ENDED = frozenset({EventKind.MODEL_REQUEST_COMPLETED, EventKind.TOOL_CALL_COMPLETED})


def is_given_up(crashes: int, crashes_in_all: int) -> bool:
    """Whether a run with so many crashes is not tried again."""
    return crashes >= SOLO_FROM + SOLO_CRASHES or crashes_in_all >= CRASHES_IN_ALL


def wait_seconds(crashes: int) -> float:
    """How long a run waits after so many crashes without a new step: 0, then 1, 2, 4 …"""
    if crashes < SOLO_FROM:
        return 0.0
    return min(2.0 ** (crashes - SOLO_FROM), LONGEST_WAIT_SECONDS)


async def failure(tx: Tx, root_id: str, crashes: int, crashes_in_all: int) -> RunFailed:
    """Why a run is given up, in words that name what it did last."""
    often = (
        f"{crashes_in_all} times"
        if crashes_in_all >= CRASHES_IN_ALL
        else f"{crashes} times without a new step, {SOLO_CRASHES} of them while it ran alone"
    )
    return RunFailed(f"The run took its worker down {often}. {await _last_step(tx, root_id)}", "crashed")


async def _last_step(tx: Tx, root_id: str) -> str:
    """The step that was begun last and never ended, in words."""
    open_steps: dict[str, str] = {}
    for _, event in await events.every(tx, root_id):
        if event.kind in _BEGAN:
            open_steps.pop(event.place, None)
            open_steps[event.place] = _step(event)
        elif event.kind in _ENDED:
            open_steps.pop(event.place, None)
    if not open_steps:
        return "It had no step under way."
    return f"The last step that it began: {list(open_steps.values())[-1]}."


def _step(event: Event) -> str:
    what = _BEGAN[event.kind]
    name = event.data["tool"]["name"] if event.kind is EventKind.TOOL_CALL_STARTED else event.data.get("model", "")
    return f"{event.place} ({what} {name})"
