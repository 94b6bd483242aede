"""What a schedule does about the instants that are due: fire, or pass over, each exactly once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musterd.features.schedules.due_instants import (
    CAUGHT_UP,
    KEPT_SECONDS,
    PASSED_OVER,
    ROWS_AT_ONCE,
    passed_over,
    plan,
)
from musterd.features.schedules.records import OPERATOR, Definition, OnMissed, Schedule

START = 1_800_000_000.0  # 2027-01-15T08:00Z


def schedule(next_run_at: float = START, **definition: Any) -> Schedule:
    values: dict[str, Any] = {"endpoint": "/agents/solo/runs", "cron_expr": "* * * * *", **definition}
    return Schedule(
        id="s1",
        owner=None,
        name="s",
        definition=Definition(**values),
        maker=OPERATOR,
        enabled=True,
        created_at=START,
        next_run_at=next_run_at,
    )


def turns(of: Schedule, now: float) -> tuple[list[float], list[float], Schedule]:
    """All turns that are due at a time: what fired, what was passed over, and the schedule afterwards."""
    fired, skipped = list[float](), list[float]()
    while (planned := plan(of, now)) is not None:
        assert len(planned.skipped) <= ROWS_AT_ONCE
        skipped += planned.skipped
        fired += [] if planned.fires is None else [planned.fires]
        of = replace(of, next_run_at=planned.next_run_at, enabled=planned.next_run_at is not None)
    return fired, skipped, of


def test_a_schedule_that_is_not_due_does_nothing() -> None:
    assert plan(schedule(), START - 0.1) is None
    assert plan(replace(schedule(), enabled=False, next_run_at=None), START) is None


def test_an_instant_fires_on_time_and_the_next_one_is_counted_from_it() -> None:
    planned = plan(schedule(), START + 40)
    assert planned is not None
    assert (planned.fires, planned.is_late, planned.next_run_at) == (START, False, START + 60)


@pytest.mark.parametrize(
    ("on_missed", "fired", "passed_over"),
    [(OnMissed.ONCE, [180], [0, 60, 120]), (OnMissed.SKIP, [180], [0, 60, 120]), (OnMissed.ALL, [0, 60, 120, 180], [])],
)
def test_missed_instants_fire_once_not_at_all_or_all(
    on_missed: OnMissed, fired: list[int], passed_over: list[int]
) -> None:
    fires, skipped, after = turns(schedule(on_missed=on_missed), START + 190)
    assert [at - START for at in fires] == fired
    assert [at - START for at in skipped] == passed_over
    assert after.next_run_at == START + 240


@pytest.mark.parametrize("on_missed", [OnMissed.ONCE, OnMissed.ALL])
def test_an_instant_that_is_too_old_is_passed_over(on_missed: OnMissed) -> None:
    fires, skipped, _ = turns(schedule(cron_expr="0 8 * * *", on_missed=on_missed), START + 3601)
    assert (fires, skipped) == ([], [START])
    fires, _, _ = turns(schedule(cron_expr="0 8 * * *", on_missed=on_missed, grace_seconds=7200), START + 3601)
    assert fires == [START]


def test_all_fires_the_last_hundred() -> None:
    of = schedule(on_missed=OnMissed.ALL, grace_seconds=86_400)
    fires, skipped, _ = turns(of, START + 60 * 249)
    assert len(fires) == CAUGHT_UP
    assert fires[-1] == START + 60 * 249
    assert sorted(fires + skipped) == [START + 60 * n for n in range(250)]


def test_a_schedule_for_one_time_fires_once_and_is_over() -> None:
    fires, skipped, after = turns(schedule(cron_expr=None, at=START), START + 5)
    assert (fires, skipped, after.enabled) == ([START], [], False)


def test_no_instant_lies_outside_of_the_bounds() -> None:
    of = schedule(starts_at=START + 90, ends_at=START + 180, on_missed=OnMissed.ALL)
    assert of.definition.next_after(0) == START + 120
    fires, _, after = turns(replace(of, next_run_at=START + 120), START + 600)
    assert fires == [START + 120, START + 180]
    assert not after.enabled


def test_jitter_moves_all_firings_by_the_same_time() -> None:
    of = schedule(jitter_seconds=30)
    offset = of.offset_seconds
    assert 0 < offset < 30
    assert plan(of, START + offset - 0.01) is None
    planned = plan(of, START + offset)
    assert planned is not None
    assert (planned.fires, planned.is_late) == (START, False)


def test_instants_of_months_ago_leave_no_rows() -> None:
    now = START + 3 * KEPT_SECONDS
    _, skipped, after = turns(schedule(cron_expr="@hourly", on_missed=OnMissed.SKIP), now)
    assert len(skipped) <= KEPT_SECONDS / 3600
    assert after.next_run_at is not None
    assert after.next_run_at > now


@given(
    expression=st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 * * * *", "15,45 1-3 * * *"]),
    zone=st.sampled_from(["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]),
    on_missed=st.sampled_from(OnMissed),
    looks=st.lists(st.floats(1, 8_000), min_size=1, max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_every_instant_has_one_outcome_whenever_the_server_looks(
    expression: str, zone: str, on_missed: OnMissed, looks: list[float]
) -> None:
    begin = 1_824_940_800.0  # 2027-10-30T20:00Z: clocks in Europe go back in the night that follows
    of = schedule(cron_expr=expression, timezone=zone, on_missed=on_missed)
    first = of.definition.next_after(begin)
    assert first is not None
    of, now, outcomes = replace(of, next_run_at=first), begin, list[float]()
    for seconds in looks:
        now += seconds
        fired, skipped, of = turns(of, now)
        outcomes += sorted(fired + skipped)
    assert outcomes == _until(of.definition, begin, now)


def _until(definition: Definition, begin: float, end: float) -> list[float]:
    instants = list[float]()
    for at in definition.instants_after(begin):
        if at > end:
            break
        instants.append(at)
    return instants


def test_a_change_passes_over_the_instants_that_passed_also_those_that_jitter_delays() -> None:
    delayed = schedule(cron_expr="0 8 * * *", jitter_seconds=86_400)
    assert delayed.offset_seconds > 60
    assert plan(delayed, START + 60) is None
    assert passed_over(delayed, START + 60) == [START]
    assert passed_over(delayed, START - 1) == []
    assert passed_over(replace(delayed, enabled=False), START + 60) == []
    assert len(passed_over(schedule(), START + 2 * KEPT_SECONDS)) == PASSED_OVER
