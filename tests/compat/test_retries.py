"""agentos-sdk retries 5xx and 429 twice, starts of runs included, and sends no key: nothing may double for that.

So an answer of 5xx or 429 means that nothing was accepted; what was accepted is answered with 2xx, or not at all.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.process import Deployment, Process, deployment_of, until

COMPONENTS = Path(__file__).resolve().parent.parent / "faults" / "components.py"
RETRIES = 2


@pytest.fixture
def place(sqlite_file: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database of the test's own, for servers that are killed and stopped."""
    yield from deployment_of(f"sqlite:///{sqlite_file}", tmp_path, COMPONENTS)


class Sdk:
    """Starts runs as agentos-sdk does, and counts how often it asked."""

    def __init__(self, process: Process) -> None:
        self._http = process.http
        self.statuses: list[int] = []
        self.answer: dict[str, Any] = {}
        self.is_lost = False

    def start(self, message: str, **fields: str) -> None:
        """Start a run; ask again as long as the answer is one that says to."""
        form = {"message": message, "stream": "false", "session_id": "s1", **fields}
        for _ in range(1 + RETRIES):
            try:
                answer = self._http.post("/agents/solo/runs", data=form)
            except httpx2.TransportError:
                self.is_lost = True
                return
            self.statuses.append(answer.status_code)
            self.answer = answer.json()
            if answer.status_code != 429 and answer.status_code < 500:
                return

    def starting(self, message: str) -> threading.Thread:
        """The same, while the test goes on."""
        thread = threading.Thread(target=self.start, args=(message,))
        thread.start()
        return thread


def accepted(place: Deployment) -> list[str]:
    """The states of all runs."""
    return [str(row["state"]) for row in place.select("SELECT state FROM runs ORDER BY created_at")]


def ended(place: Deployment) -> list[str]:
    """The states of all runs once they have ended."""
    open_ones = "SELECT 1 AS n FROM runs WHERE state NOT IN ('completed', 'error', 'cancelled')"
    until(lambda: not place.select(open_ones), "every run has ended")
    return accepted(place)


def test_a_failing_model_is_no_failing_request(place: Deployment) -> None:
    sdk = Sdk(place.serve(model_retry_seconds=0))
    sdk.start("[[ERROR 500]]")
    assert (sdk.statuses, sdk.answer["status"]) == ([200], "ERROR")
    assert accepted(place) == ["error"]


@pytest.mark.parametrize("point", ["accepted", "asking", "settling"])
def test_a_server_that_dies_after_it_accepted_answers_nothing(place: Deployment, point: str) -> None:
    sdk = Sdk(place.serve(fault=f"{point}:1:kill"))
    sdk.start("[[SAY once]]")
    assert (sdk.is_lost, sdk.statuses) == (True, [])
    place.serve()
    assert ended(place) == ["completed"]


def test_a_server_that_dies_before_it_accepted_has_no_run(place: Deployment) -> None:
    sdk = Sdk(place.serve(fault="accepting:1:kill"))
    sdk.start("[[SAY once]]")
    assert sdk.is_lost
    place.serve()
    assert accepted(place) == []


def test_a_server_that_stops_says_that_the_run_is_accepted(place: Deployment) -> None:
    server = place.serve(drain_seconds=0)
    sdk = Sdk(server)
    waiting = sdk.starting('[[TOOL wait {"name": "gate"}]]')
    place.reached("gate")
    server.signal(signal.SIGTERM)
    waiting.join()
    assert (sdk.statuses, sdk.is_lost) == ([202], False)
    place.release("gate")
    server.exit_code()
    place.serve()
    assert ended(place) == ["completed"]


def test_a_full_queue_accepts_nothing_however_often_it_is_asked(place: Deployment) -> None:
    server = place.serve(concurrency=1, queue_depth=1)
    server.accepted('[[TOOL wait {"name": "gate"}]]', "r1", session_id="s1")
    place.reached("gate")
    server.accepted("[[SAY next]]", "r2", session_id="s2")
    sdk = Sdk(server)
    sdk.start("[[SAY too much]]", session_id="s3")
    assert sdk.statuses == [429] * (1 + RETRIES)
    place.release("gate")
    assert ended(place) == ["completed", "completed"]
    sdk.start("[[SAY again]]", session_id="s3")
    assert sdk.statuses[-1] == 200
    assert len(accepted(place)) == 3


def test_a_database_that_refuses_accepts_nothing_however_often_it_is_asked(place: Deployment) -> None:
    server = place.serve()
    place.execute("CREATE TRIGGER no_runs BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END")
    sdk = Sdk(server)
    sdk.start("[[SAY never]]")
    assert len(sdk.statuses) == 1 + RETRIES
    assert all(status >= 500 for status in sdk.statuses)
    place.execute("DROP TRIGGER no_runs")
    assert accepted(place) == []
    sdk.start("[[SAY now]]")
    assert sdk.statuses[-1] == 200
    assert accepted(place) == ["completed"]
