"""A process is killed around a call that waits for a person: it is asked about once, and made once."""

from typing import Any

import pytest

from musterd.store import events
from tests.support.crashes import check_calls, check_each_event_once
from tests.support.process import Deployment, Process
from tests.support.store import of_run

MESSAGE = '[[DELEGATE helper: <TOOL pay {"n": 1}>]]'
TO = "teams/desk"


def paid(site: Deployment) -> int:
    """How often the call was made; always under one key."""
    lines = {line: times for line, times in site.counts().items() if line.startswith("pay ")}
    assert len(lines) <= 1
    return sum(lines.values())


def pending_approval(process: Process) -> dict[str, Any]:
    """The one call that waits, as the inbox has it."""
    (approval,) = process.http.get("/approvals", params={"status": "pending"}).json()["data"]
    return dict(approval)


def resolve(process: Process, **said: Any) -> None:
    answer = process.http.post(
        f"/approvals/{pending_approval(process)['id']}/resolve", json={"status": "approved", **said}
    )
    assert answer.status_code == 200, answer.text


def paused(site: Deployment) -> None:
    """A run that waits, and nobody who drives it."""
    first = site.serve()
    first.accepted(MESSAGE, "r1", TO)
    assert first.ended("r1", TO)["status"] == "PAUSED"
    first.kill()


def check_end(site: Deployment, last: Process) -> None:
    """The run comes to its end, with a person to say what happened where nobody else can; it was paid once."""
    view = last.ended("r1", TO)
    if view["status"] == "PAUSED":
        assert pending_approval(last)["pause_type"] == "unknown_outcome"
        resolve(last, **({"resolution_data": {"result": "paid 1"}} if paid(site) else {}))
        view = last.ended("r1", TO)
    assert (view["status"], view["content"]) == ("COMPLETED", "Done: Done: paid 1")
    assert paid(site) == 1
    stored = site.do(of_run(events.all_events, "r1"))
    check_each_event_once(stored)
    check_calls(stored)
    assert site.select("SELECT count(*) AS n FROM approvals WHERE state IN ('pending', 'decided')") == [{"n": 0}]


@pytest.mark.parametrize("fault", ["intending:2", "intended:2", "settling:1", "settled:1"])
def test_killed_while_it_asks(site: Deployment, fault: str) -> None:
    first = site.serve(fault=f"{fault}:kill")
    first.post(MESSAGE, "r1", TO)
    first.died()
    second = site.serve()
    assert second.ended("r1", TO)["status"] == "PAUSED"
    assert pending_approval(second)["pause_type"] == "confirmation"
    assert paid(site) == 0
    resolve(second)
    check_end(site, second)


@pytest.mark.parametrize(
    "fault",
    [
        "claiming:1",
        "claimed:1",
        "flushing:1",
        "flushed:1",
        "flushed:2",
        "performing:2",
        "performed:1",
        "recording:1",
        "recorded:1",
    ],
)
def test_killed_after_a_decision_that_another_process_took(site: Deployment, fault: str) -> None:
    paused(site)
    desk = site.serve("--no-worker")
    resolve(desk)
    assert site.state("r1") == "ready"
    desk.kill()
    site.work(fault=f"{fault}:kill").died()
    assert paid(site) <= 1
    check_end(site, site.serve())
