"""Runs whose worker crashes: they are retried with growing delays, on probation, and fail in the end.

A run counts its crashes since its last stored step, and in total. From the second crash without a new step it is a
suspect: it waits before it is claimed, and it is claimed on probation. While suspects are on probation their process
starts no other run, so that a crash can be blamed on them. Only a crash on probation raises the count above two:
therefore the run that causes the crashes is given up, and runs that only shared a process with it are not.

Probation ends with the first step that the run stores, with the end of the run, or after a time that doubles with each
crash. A running run whose count is that of a suspect is on probation; surviving it lowers the count.

An attempt that has stored nothing had not started a step, so it probably did not cause the crash. Its crash counts in
the total, so that a run which kills its process during preparation is given up at some point, but it does not count as
a crash without a new step.

The rules are decision 006, ``docs/decisions/006-probation-in-place-of-runs-driven-alone.md``.
"""

from dataclasses import dataclass

from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.store import events
from musterd.store.shards import SessionTx

SUSPECT_FROM = 2
"""From this many crashes without a new step a run is a suspect."""
GIVEN_UP_FROM = 5
"""From this many crashes without a new step a run is given up."""
CRASHES_IN_ALL = 50
"""From this many crashes in total a run is given up."""
LONGEST_WAIT_SECONDS = 60.0
LONGEST_PROBATION_SECONDS = 300.0
NOTHING_STORED = 0.0
"""The ``not_before`` of a running run whose attempt has stored nothing yet. A claim sets it; the fence of the first
write clears it in the same transaction, so after a crash the row says reliably whether the attempt had started."""
HAS_WAITED = f"(runs.not_before IS NULL OR runs.not_before <= :now OR runs.not_before > :now + {LONGEST_WAIT_SECONDS})"
"""SQL condition: a ready run has waited long enough. No run waits longer than LONGEST_WAIT_SECONDS, so a later time can
only come from a clock that was set back since, and is ignored."""

_BEGAN = {EventKind.MODEL_REQUEST_STARTED: "model call", EventKind.TOOL_CALL_STARTED: "tool"}
_ENDED = frozenset({EventKind.MODEL_REQUEST_COMPLETED, EventKind.TOOL_CALL_COMPLETED})


@dataclass(frozen=True, slots=True)
class Crashes:
    """How often a run's worker crashed.

    :param without_step: crashes since the run last stored a step.
    :param in_all: crashes since it was accepted.
    :param has_begun: whether the last attempt had stored anything.
    """

    without_step: int
    in_all: int
    has_begun: bool = True

    def one_more(self, *, has_begun: bool) -> "Crashes":
        """The counts after one more crash."""
        without_step = self.without_step + 1
        if not has_begun:  # makes the run a suspect at most; the run is not given up because of it
            without_step = max(self.without_step, min(without_step, SUSPECT_FROM))
        return Crashes(without_step, self.in_all + 1, has_begun)

    @property
    def is_given_up(self) -> bool:
        """Whether the run is not retried."""
        return self.without_step >= GIVEN_UP_FROM or self.in_all >= CRASHES_IN_ALL

    @property
    def wait_seconds(self) -> float:
        """How long the run waits before it may be claimed: 0, then 1, 2, 4 … seconds."""
        # The count of a suspect whose attempts store nothing stays at two, so its wait grows with all its crashes
        # instead.
        count = self.without_step if self.has_begun or self.without_step < SUSPECT_FROM else self.in_all
        return 0.0 if count < SUSPECT_FROM else min(2.0 ** (count - SUSPECT_FROM), LONGEST_WAIT_SECONDS)


async def failure(tx: SessionTx, root_id: str, crashes: Crashes) -> RunFailed:
    """The error of a run that is given up; it names the step that the run was working on."""
    often = (
        f"{crashes.in_all} times"
        if crashes.in_all >= CRASHES_IN_ALL
        else f"{crashes.without_step} times without a new step, the last time while no other run was started"
    )
    return RunFailed(f"The run crashed its worker {often}. {await _last_step(tx, root_id)}", "crashed")


async def _last_step(tx: SessionTx, root_id: str) -> str:
    """A sentence that names the step that started last and did not end."""
    open_steps: dict[str, str] = {}
    for _, event in await events.all_events(tx, root_id):
        if event.kind in _BEGAN:
            # Removed first, so that a step that begins again moves to the end of the dict.
            open_steps.pop(event.place, None)
            open_steps[event.place] = _step(event)
        elif event.kind in _ENDED:
            open_steps.pop(event.place, None)
    if not open_steps:
        return "No step was in progress."
    return f"The last step that it started: {list(open_steps.values())[-1]}."


def _step(event: Event) -> str:
    kind = _BEGAN[event.kind]
    name = event.data["tool"]["name"] if event.kind is EventKind.TOOL_CALL_STARTED else event.data.get("model", "")
    return f"{event.place} ({kind} {name})"
