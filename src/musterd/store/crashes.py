"""Runs that take their worker with them: tried again later and later, on probation, and given up in the end.

A run's crashes are counted since it last stored a step, and in all. From the second on it is a suspect: it waits before
it is claimed, and it is claimed on probation. While suspects are on probation their process begins no other run, so a
crash says something about them. Only a crash on probation raises the count beyond the second: the run that causes
crashes is given up, the runs beside it are not.

Probation ends with the first step that the run stores, with its end, or after a time that doubles with each crash.
A run at work whose count is that of a suspect is on probation; surviving it takes the count below that.

An attempt that has stored nothing had not begun a step, so it probably did not cause the crash. The crash counts in
all, so that a run which kills its process while it is prepared ends at some point, but not as one without a new step.
"""

from dataclasses import dataclass

from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.store import events
from musterd.store.database import Tx

SUSPECT_FROM = 2
"""Crashes without a new step after which a run is a suspect."""
GIVEN_UP_FROM = 5
"""Crashes without a new step after which it is given up."""
CRASHES_IN_ALL = 50
"""Crashes in all after which it is given up."""
LONGEST_WAIT_SECONDS = 60.0
LONGEST_PROBATION_SECONDS = 300.0
NOTHING_STORED = 0.0
"""What ``not_before`` of a running run is until its attempt has stored something; a claim sets it, the guard of each
write clears it."""
HAS_WAITED = f"(not_before IS NULL OR not_before <= :now OR not_before > :now + {LONGEST_WAIT_SECONDS})"
"""Whether a ready run has waited long enough, in SQL. Nobody waits longer than that: a time beyond it is that of a
clock which has been put back since."""

_BEGAN = {EventKind.MODEL_REQUEST_STARTED: "model call", EventKind.TOOL_CALL_STARTED: "tool"}
_ENDED = frozenset({EventKind.MODEL_REQUEST_COMPLETED, EventKind.TOOL_CALL_COMPLETED})


@dataclass(frozen=True, slots=True)
class Crashes:
    """How often a run took its worker down.

    :param without_step: since it last stored a step.
    :param in_all: since it was accepted.
    :param has_begun: whether the last attempt had stored anything.
    """

    without_step: int
    in_all: int
    has_begun: bool = True

    def one_more(self, *, has_begun: bool) -> "Crashes":
        """Count another crash."""
        without_step = self.without_step + 1
        if not has_begun:  # it becomes a suspect at most, and is not given up for it
            without_step = max(self.without_step, min(without_step, SUSPECT_FROM))
        return Crashes(without_step, self.in_all + 1, has_begun)

    @property
    def is_given_up(self) -> bool:
        """Whether the run is not tried again."""
        return self.without_step >= GIVEN_UP_FROM or self.in_all >= CRASHES_IN_ALL

    @property
    def wait_seconds(self) -> float:
        """How long the run waits before it is claimed: 0, then 1, 2, 4 …"""
        count = self.without_step if self.has_begun or self.without_step < SUSPECT_FROM else self.in_all
        return 0.0 if count < SUSPECT_FROM else min(2.0 ** (count - SUSPECT_FROM), LONGEST_WAIT_SECONDS)


async def failure(tx: Tx, root_id: str, crashes: Crashes) -> RunFailed:
    """Why a run is given up, in words that name what it did last."""
    often = (
        f"{crashes.in_all} times"
        if crashes.in_all >= CRASHES_IN_ALL
        else f"{crashes.without_step} times without a new step, at last while no other run was begun"
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
