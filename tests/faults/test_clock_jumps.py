"""The wall clock of one of two processes jumps: nobody is taken for dead, and every run ends once, in its order."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, fleet
from tests.support.process import Process, until

QUICK: dict[str, Any] = {"beat_seconds": 0.1, "upkeep_seconds": 0.1, "dead_seconds": 7}
BEATS = 80
"""More than a process may miss before it is taken for dead."""
HOUR = 3600.0


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    components = Path(__file__).with_name("components_clock_jump.py")
    with fleet(tmp_path, database_url, components, **QUICK) as deployment:
        yield deployment


def jump(place: Fleet, seconds: float) -> None:
    """Have the clock jump, and let everybody look at everybody for a while."""
    new = place.folder / "shift.new"
    new.write_text(str(seconds))
    new.replace(place.folder / "shift")
    goal = {row["id"]: row["heartbeat"] + BEATS for row in place.select("SELECT id, heartbeat FROM workers")}

    def have_beaten() -> bool:
        beats = {row["id"]: row["heartbeat"] for row in place.select("SELECT id, heartbeat FROM workers")}
        return all(beats[worker] >= beat for worker, beat in goal.items())

    until(have_beaten, "both go on showing that they live")


def start(process: Process, message: str, run_id: str, session_id: str, **fields: Any) -> None:
    form = {"message": message, "run_id": run_id, "session_id": session_id, "background": "true", "stream": "false"}
    answer = process.http.post("/agents/solo/runs", data={**form, **fields})
    assert answer.status_code == 202, answer.text


def have_completed(place: Fleet, *run_ids: str) -> None:
    def states() -> dict[str, str]:
        return {row["run_id"]: row["state"] for row in place.select("SELECT run_id, state FROM runs")}

    until(lambda: all(states()[run_id] == "completed" for run_id in run_ids), f"{run_ids} have ended")


@pytest.mark.parametrize("new_database, hours", [("sqlite", 5), ("postgres", -5)], indirect=["new_database"])
def test_a_clock_that_jumps(place: Fleet, hours: int) -> None:
    jumper, steady = place.serve(test_clock="shift"), place.serve()
    start(jumper, '[[TOOL hold {"name": "a"}]]', "a1", "a", timeout_seconds=600)
    start(steady, '[[TOOL hold {"name": "b"}]]', "b1", "b", timeout_seconds=600)
    start(steady, "[[SAY second]]", "a2", "a")
    for name in ("a", "b"):
        until((place.folder / f"{name}.reached").exists, "the tools are at work")
    jump(place, hours * HOUR)
    start(jumper, "[[SAY third]]", "a3", "a")
    start(steady, "[[SAY fourth]]", "a4", "a")
    start(jumper, "[[SAY soon]]", "c1", "c", delay_seconds=1)
    start(steady, "[[SAY soon, too]]", "d1", "d", delay_seconds=1)
    have_completed(place, "c1", "d1")
    jump(place, 0)
    for name in ("a", "b"):
        (place.folder / name).touch()
    have_completed(place, "a1", "a2", "a3", "a4", "b1")
    said = [line for line in place.calls() if line.endswith(("second]] #0", "third]] #0", "fourth]] #0"))]
    assert [line.split()[2] for line in said] == ["second]]", "third]]", "fourth]]"], "the line keeps its order"
    assert set(Counter(place.calls()).values()) == {1}, "nothing was done twice"
    assert place.number("SELECT max(attempt) AS n FROM runs") == 1
    assert "heartbeat lost" not in place.log
    jump(place, hours * HOUR)
    start(jumper, '[[TOOL wait {"name": "e"}]]', "e1", "e")
    until((place.folder / "e.reached").exists, "the tool is at work")
    jumper.kill()
    (place.folder / "e").touch()
    have_completed(place, "e1")
