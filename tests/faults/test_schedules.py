"""Schedules on several processes that are killed: each instant fires once, and leaves exactly one row."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.cron import Cron
from musterd.features.schedules import store
from musterd.features.schedules.records import (
    OPERATOR,
    Definition,
    OnMissed,
    Overlap,
    Schedule,
    SessionPolicy,
)
from tests.faults.test_workflow_kill_points import RESULT
from tests.support.process import QUICK, Deployment, deployment_of, until

SHIFT = "clock-shift"


def schedule(number: int, next_run_at: float, **definition: Any) -> Schedule:
    values: dict[str, Any] = {
        "endpoint": "/agents/solo/runs",
        "cron_expr": "* * * * *",
        "payload": {"message": f"schedule {number}"},
        "on_missed": OnMissed.ALL,
        "grace_seconds": 86_400,
        "overlap": Overlap.PARALLEL,
        "session": SessionPolicy.NEW,
    }
    return Schedule(
        id=f"s{number}",
        owner=None,
        name=f"s{number}",
        definition=Definition(**{**values, **definition}),
        maker=OPERATOR,
        enabled=True,
        created_at=next_run_at - 60,
        next_run_at=next_run_at,
    )


def add(site: Deployment, *schedules: Schedule) -> None:
    for one in schedules:
        site.do(lambda tx, one=one: store.add(tx, one))  # type: ignore[misc]


def is_caught_up(site: Deployment, now: float) -> bool:
    """Whether nothing is due any more, and all runs have ended."""
    due = site.select("SELECT count(*) AS n FROM schedules WHERE due_at <= :now", now=now)
    live = site.select("SELECT count(*) AS n FROM runs WHERE state NOT IN ('completed', 'error', 'cancelled')")
    return bool(due == live == [{"n": 0}])


def check_once(site: Deployment, instants: dict[str, list[float]], last: float) -> None:
    """Each instant has one row, each row has one run that has completed, and no run is without a row."""
    rows = site.select(
        """SELECT f.schedule_id, f.scheduled_for, f.run_id, r.state
           FROM firings f LEFT JOIN runs r ON r.run_id = f.run_id
           WHERE f.scheduled_for <= :last AND (f.outcome IS NULL OR f.outcome <> 'success')""",
        last=last,
    )
    assert Counter((row["schedule_id"], row["scheduled_for"]) for row in rows) == Counter(
        (name, at) for name, times in instants.items() for at in times
    )
    assert {row["state"] for row in rows} == {"completed"}
    assert len({row["run_id"] for row in rows}) == len(rows)
    unknown = "SELECT count(*) AS n FROM runs WHERE run_id NOT IN (SELECT run_id FROM firings WHERE run_id IS NOT NULL)"
    assert site.select(unknown) == [{"n": 0}]


@pytest.mark.parametrize("point", ["firing", "accepting", "accepted", "fired"])
def test_every_instant_fires_once_while_processes_are_killed(site: Deployment, point: str) -> None:
    now = clock.now()
    last = now // 60 * 60
    instants = [last - 60 * back for back in range(24, -1, -1)]
    add(site, *(schedule(number, instants[0]) for number in range(4)))
    processes = [site.begin("worker", fault=f"{point}:{passes}:kill", **QUICK) for passes in (5, 12, 20)]
    for process in processes:
        process.died()
    site.work(**QUICK)
    until(lambda: is_caught_up(site, now), "everything that was due has fired", seconds=120)
    check_once(site, {f"s{number}": instants for number in range(4)}, last)


def test_a_thousand_instants_fire_once_while_four_processes_are_killed(site: Deployment) -> None:
    """Most of them start no run, which leaves the firing itself; those of two schedules do."""
    now = clock.now()
    last = now // 60 * 60
    instants = [last - 60 * back for back in range(24, -1, -1)]
    health = {"endpoint": "/health", "method": "GET", "payload": None}
    add(site, *(schedule(number, instants[0], **(health if number >= 2 else {})) for number in range(40)))
    faults = ("firing:250", "accepting:3", "accepted:5", "fired:120")
    for process in [site.begin("worker", fault=f"{fault}:kill", **QUICK) for fault in faults]:
        process.died()
    site.work(**QUICK)
    until(lambda: is_caught_up(site, now), "everything that was due has fired", seconds=120)
    check_once(site, {f"s{number}": instants for number in range(2)}, last)
    rows = site.select("SELECT schedule_id, scheduled_for FROM firings WHERE scheduled_for <= :last", last=last)
    assert Counter((row["schedule_id"], row["scheduled_for"]) for row in rows) == Counter(
        (f"s{number}", at) for number in range(40) for at in instants
    )


@pytest.fixture
def shifted(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_clock_jump.py"))


@pytest.mark.parametrize(
    "change", [datetime(2027, 10, 31, 1, tzinfo=UTC), datetime(2028, 3, 26, 1, tzinfo=UTC)], ids=["autumn", "spring"]
)
def test_schedules_cross_a_change_of_clocks_on_processes_that_are_killed(
    shifted: Deployment, monkeypatch: pytest.MonkeyPatch, change: datetime
) -> None:
    monkeypatch.setenv("MUSTERD_TEST_CLOCK", SHIFT)
    begin, end = change.timestamp() - 2 * 3600, change.timestamp() + 2 * 3600
    shifted.folder.joinpath(SHIFT).write_text(str(end + 30 - clock.now()))
    expressions = ["30 2 * * *", "*/15 * * * *", "0 * * * *", "15,45 1-3 * * *"]
    instants = {
        f"s{number}": [at for at in _day(expression, begin) if at <= end]
        for number, expression in enumerate(expressions)
    }
    add(
        shifted,
        *(
            schedule(number, instants[f"s{number}"][0], cron_expr=expression, timezone="Europe/Oslo")
            for number, expression in enumerate(expressions)
        ),
    )
    for process in [
        shifted.begin("worker", fault=f"{point}:3:kill", **QUICK) for point in ("firing", "accepted", "fired")
    ]:
        process.died()
    shifted.work(**QUICK)
    until(lambda: is_caught_up(shifted, end), "everything that was due has fired", seconds=120)
    check_once(shifted, instants, end)
    assert len(instants["s0"]) == 1, "the daily one fires once on each of these days"


def _day(expression: str, begin: float) -> list[float]:
    instants = Cron.parse(expression, "Europe/Oslo").all_after(begin)
    return [next(instants) for _ in range(30)]


def test_a_run_of_a_schedule_goes_on_after_a_crash_and_its_firing_follows(site: Deployment) -> None:
    now = clock.now()
    one = schedule(1, now - 1, cron_expr=None, at=now - 1, payload={"message": '[[TOOL wait {"name": "go"}]]'})
    add(site, one)
    first = site.serve(**QUICK)
    site.reached("go")
    path = f"/schedules/{one.id}/runs"
    assert first.http.get(path).json()["data"][0]["status"] == "running"
    first.kill()
    site.release("go")
    second = site.serve(**QUICK)
    until(lambda: is_caught_up(site, now), "the run has ended")
    (firing,) = second.http.get(path).json()["data"]
    assert (firing["status"], firing["output"]["content"]) == ("success", "Done: waited go")
    assert site.run(firing["run_id"])["attempt"] == 2
    assert second.http.get(f"/schedules/{one.id}").json()["enabled"] is False


@pytest.fixture
def workflows(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_workflows.py"))


def test_a_workflow_of_a_schedule_goes_on_at_its_step_after_a_crash(workflows: Deployment) -> None:
    now = clock.now()
    one = schedule(1, now - 1, cron_expr=None, at=now - 1, endpoint="/workflows/flow/runs", payload={"message": "go"})
    add(workflows, one)
    workflows.dies("recorded:4:kill")
    before = workflows.counts()
    assert before
    second = workflows.serve(**QUICK)
    until(lambda: is_caught_up(workflows, now), "the run has ended")
    (firing,) = second.http.get(f"/schedules/{one.id}/runs").json()["data"]
    assert (firing["status"], firing["output"]["content"]) == ("success", RESULT)
    assert workflows.run(firing["run_id"])["attempt"] == 2
    counts = workflows.counts()
    assert counts.total() <= len(counts) + 2, "what was stored was not done again"


@pytest.mark.parametrize("point", ["accepting", "accepted"])
def test_a_failed_run_is_retried_once_though_a_process_is_killed_before_the_retry(site: Deployment, point: str) -> None:
    """The first acceptance is that of the firing, the second one that of the retry."""
    now, settings = clock.now(), {**QUICK, "model_retry_seconds": 0}
    message = {"message": "[[ERROR 500]]"}
    limits = {"max_retries": 1, "retry_delay_seconds": 1}
    one = schedule(1, now - 1, cron_expr=None, at=now - 1, payload=message, **limits)
    add(site, one)
    site.begin("worker", fault=f"{point}:2:kill", **settings).died()
    site.work(**settings)
    states = "SELECT f.attempt, r.state FROM firings f JOIN runs r ON r.run_id = f.run_id ORDER BY f.attempt"
    ended = [{"attempt": attempt, "state": "error"} for attempt in (1, 2)]
    until(lambda: site.select(states) == ended, "the retry has ended")
    assert site.select("SELECT count(*) AS n FROM runs") == [{"n": 2}]


@pytest.mark.parametrize("point", ["performing", "performed", "recorded"])
def test_an_agent_that_is_killed_while_it_schedules_has_scheduled_once(site: Deployment, point: str) -> None:
    call = '{"name": "report", "message": "Write it.", "cron": "0 7 * * *"}'
    first = site.serve(fault=f"{point}:1:kill")
    first.post(f"[[TOOL create_schedule {call}]]", "r1", "agents/planner")
    first.died()
    view = site.serve().ended("r1", "agents/planner")
    assert view["status"] == "COMPLETED"
    (row,) = site.select("SELECT id, name FROM schedules")
    assert row["name"] == "report"
    assert row["id"] in view["content"]
