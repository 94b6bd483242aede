"""A process is killed at each boundary of a workflow's steps; the next one does nothing again that is stored."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd.core.events import EventKind
from musterd.loop.run_tree import digest
from musterd.store import events
from tests.support.crashes import check_each_event_once
from tests.support.process import Deployment, deployment_of
from tests.support.store import of_run

STEPS = {"s0/s0": "then", "s1/b0": "left", "s2/i0/s0": "more", "s2/i1/s0": "more", "s3/s0": "this", "s4/s0": "last"}
CHOICES = {
    "s0/c": "choice if",
    "s2/i0/c": "choice Echo: go>then>more",
    "s2/i1/c": "choice Echo: go>then>more>more",
    "s3/c": "choice way",
}
RESULT = "Echo: Echo: go>then>more>more>this>last"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that serve the workflow."""
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_workflows.py"))


def stored(site: Deployment) -> set[str]:
    """What is stored with a result, under the lines with which its doing is counted."""
    rows = site.select("SELECT path, kind FROM journal WHERE root_id = 'r1' AND result IS NOT NULL")
    paths = [row["path"] for row in rows]
    return {step_line(path) for path in paths if path in STEPS} | {CHOICES[path] for path in paths if path in CHOICES}


def step_line(path: str) -> str:
    """The line with which a call of a function is counted."""
    return f"step {STEPS[path]} {digest('r1', path)}"


@pytest.mark.parametrize(
    "point, n",
    [("accepted", 1)]
    + [("recorded", n) for n in range(1, 9)]
    + [(name, n) for name in ("intended", "performed") for n in (1, 3, 5, 7)],
)
def test_killed_between_steps(site: Deployment, point: str, n: int) -> None:
    first = site.serve(fault=f"{point}:{n}:kill")
    first.post("go", "r1", "workflows/flow")
    first.died()
    done, before = stored(site), site.counts()
    second = site.serve()
    view = second.ended("r1", "workflows/flow")
    assert (view["status"], view["content"]) == ("COMPLETED", RESULT)
    check_end(site, done, before)


def check_end(site: Deployment, done: set[str], before: Counter[str]) -> None:
    """What was stored was not done again, and what was under way was done once more at most."""
    after = site.counts()
    for line, count in after.items():
        assert count <= before[line] + (0 if line in done else 1), f"{line} was done {count} times"
    assert {line for line in after if not line.startswith("model")} == {*map(step_line, STEPS), *CHOICES.values()}
    check_each_event_once(site.do(of_run(events.all_events, "r1")))


def test_killed_while_a_branch_in_a_loop_waits_for_a_person(site: Deployment) -> None:
    first = site.serve()
    first.accepted("go", "r1", "workflows/asking")
    assert first.ended("r1", "workflows/asking")["status"] == "PAUSED"
    first.kill()
    view = dict[str, Any]()
    for status in ("PAUSED", "COMPLETED"):  # each iteration asks
        process = site.serve()
        (approval,) = process.http.get("/approvals", params={"status": "pending"}).json()["data"]
        assert (approval["tool_name"], approval["run_id"]) == ("guarded", "r1")
        decided = process.http.post(f"/approvals/{approval['id']}/resolve", json={"status": "approved"})
        assert decided.status_code == 200, decided.text
        view = process.ended("r1", "workflows/asking")
        assert view["status"] == status
        process.kill()
    assert view["content"] == "go>free>end"
    assert Counter(line.split()[1] for line in site.counts().elements()) == {"guarded": 2, "free": 2, "end": 1}
    assert set(site.counts().values()) == {1}, "each call has its own key, and was made once"
    check_each_event_once(site.do(of_run(events.all_events, "r1")))


@pytest.mark.parametrize("point", ["performed:2", "recorded:2", "performed:3", "recorded:3", "settling:1"])
def test_killed_while_the_agent_of_a_workflow_ends_with_a_failed_step(site: Deployment, point: str) -> None:
    first = site.serve(fault=f"{point}:kill")
    first.post('[[TOOL run_workflow {"query": "tea"}]]', "r1", "workflows/guided")
    first.died()
    done = {row["path"] for row in site.select("SELECT path FROM journal WHERE root_id = 'r1' AND result IS NOT NULL")}
    before = site.counts()
    second = site.serve()
    view = second.ended("r1", "workflows/guided")
    assert (view["status"], view["content"]) == ("ERROR", "Step 'bad' failed: no paper")
    assert [step["step_name"] for step in view["step_results"]] == ["one"]
    repeated = {line.split()[1] for line in site.counts() - before}
    assert not ("one" in repeated and "s0" in done)
    assert not ("bad" in repeated and "s1" in done)
    stored_events = site.do(of_run(events.all_events, "r1"))
    check_each_event_once(stored_events)
    (error,) = [event for _, event in stored_events if event.kind is EventKind.STEP_ERROR]
    assert error.place == "s1/r0"
    _, (_, end) = [item for item in stored_events if item[1].kind is EventKind.RUN_ERROR]  # the agent's, and the run's
    assert (end.data["error"]["code"], end.data["error"]["failed_steps"]) == ("step_failed", ["s1"])
