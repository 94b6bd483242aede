"""The due instants of a schedule: which of them fires, and which are skipped. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from musterd.features.schedules.records import OnMissed, Schedule

ON_TIME_SECONDS = 60.0
"""How late an instant may be that counts as fired on time."""
CAUGHT_UP = 100
"""How many missed instants ``on_missed: all`` fires at most, the last ones."""
ROWS_AT_ONCE = 100
"""How many instants one transaction stores at most."""
KEPT_SECONDS = 31 * 86_400.0
"""How long a skipped instant has a row. Instants that were missed longer ago get none."""
PASSED_OVER = 1000
"""How many instants a change of a schedule passes over with a row, the first ones."""
MISSED = "missed"
CHANGED = "changed"
"""Why an instant is skipped that had passed when its schedule was disabled or got other times."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one transaction stores.

    :param skipped: instants that do not fire.
    :param fires: the instant that fires after them, if one does.
    :param is_late: whether it was missed before.
    :param next_run_at: the instant after all of these; None: there is none.
    """

    skipped: Sequence[float]
    fires: float | None
    is_late: bool
    next_run_at: float | None


def plan(schedule: Schedule, now: float) -> Plan | None:
    """The plan for a schedule; None: it is not due."""
    first, offset = schedule.next_run_at, schedule.offset_seconds
    if first is None or not schedule.enabled or first + offset > now:
        return None
    definition, begin = schedule.definition, _begin(schedule, first, now)
    due = list(islice(_instants(schedule, begin, now, offset), ROWS_AT_ONCE + CAUGHT_UP))
    skipped: list[float] = []
    for place, instant in enumerate(due[:ROWS_AT_ONCE]):
        late_seconds = now - instant - offset
        if _fires(schedule, late_seconds, later=len(due) - 1 - place):
            return Plan(skipped, instant, late_seconds > ON_TIME_SECONDS, definition.next_after(instant))
        skipped.append(instant)
    return Plan(skipped, None, False, definition.next_after(skipped[-1] if skipped else begin))


def passed_over(schedule: Schedule, now: float) -> list[float]:
    """The instants that will not fire if the schedule is disabled or gets other times now."""
    first = schedule.next_run_at
    if first is None or not schedule.enabled:
        return []
    return list(islice(_instants(schedule, _begin(schedule, first, now), now), PASSED_OVER))


def _begin(schedule: Schedule, first: float, now: float) -> float:
    """The first instant that has a row, or a time before it."""
    return first if schedule.definition.cron_expr is None else max(first, now - KEPT_SECONDS)


def _instants(schedule: Schedule, begin: float, now: float, offset: float = 0.0) -> Iterator[float]:
    return takewhile(lambda at: at + offset <= now, schedule.definition.instants_after(begin - 0.001))


def _fires(schedule: Schedule, late_seconds: float, later: int) -> bool:
    """Whether an instant fires.

    :param later: how many later instants are due too; they are counted up to ``CAUGHT_UP``.
    """
    definition = schedule.definition
    is_in_time = late_seconds <= max(definition.grace_seconds, ON_TIME_SECONDS)
    if definition.on_missed is OnMissed.SKIP:
        return late_seconds <= ON_TIME_SECONDS
    if definition.on_missed is OnMissed.ALL:
        return is_in_time and later < CAUGHT_UP
    return is_in_time and later == 0
