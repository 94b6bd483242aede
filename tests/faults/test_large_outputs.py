"""A process is killed around the commits that store large outputs; another one shows and uses them as they were."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.store import events
from tests.support.crashes import check_each_event_once
from tests.support.process import Deployment, deployment_of
from tests.support.store import of_run

LARGE, STEPS = 6_000, 6


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that serve the workflow."""
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_large.py"))


@pytest.mark.parametrize(
    ("point", "n"), [("recorded", 4), ("flushed", 2), ("flushed", 5), ("settling", 1), ("settled", 1)]
)
def test_killed_between_the_commit_and_what_follows(site: Deployment, point: str, n: int) -> None:
    first = site.serve(fault=f"{point}:{n}:kill")
    first.post("go", "r1", "workflows/flow")
    first.died()
    second = site.serve()
    view = second.ended("r1", "workflows/flow")
    assert (view["status"], view["content"]) == ("COMPLETED", "go>>>>>".ljust(LARGE, "."))
    assert len(site.counts()) == STEPS
    page = second.http.get("/workflows/flow/runs/r1/events", params={"session_id": "s1"}).json()["events"]
    completed = {event["step_id"]: event for event in page if event["event"] == "StepCompleted"}
    assert {len(event["content"]) for event in completed.values()} == {LARGE}
    assert page[-1]["step_results"] == view["step_results"]
    assert "content_at" not in json.dumps([page, view])
    check_each_event_once(site.do(of_run(events.all_events, "r1")))
