"""Many runs while workers are killed one after the other: all end, in order, once, and readers miss nothing.

``MUSTERD_TEST_CHAOS_RUNS=1000`` drives more of them than every change has to.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from musterd.core import clock
from musterd.core.events import Event
from tests.support.crashes import VisibleText, check_calls, check_each_event_once
from tests.support.fleet import Fleet, fleet
from tests.support.http import read_stream
from tests.support.process import Process, until

SESSIONS = 50
ROUNDS = max(int(os.environ.get("MUSTERD_TEST_CHAOS_RUNS", "200")) // SESSIONS, 2)
WORKERS = 2
AT_ONCE = 5
"""Runs that a worker drives at once: few, so that work is left when the next one is killed."""
KILL_EVERY = 20
"""Runs that end between two kills."""
PATIENCE_SECONDS = 100.0
ENDED = "SELECT count(*) AS n FROM runs WHERE parent_id IS NULL AND state IN ('completed', 'error', 'cancelled')"


class PlannedRun(NamedTuple):
    """A run of these tests: its leader has its member do two things side by side, call a tool and speak for a while."""

    number: int
    session: int
    turn: int

    @property
    def run_id(self) -> str:
        return f"s{self.session}-{self.turn}"

    @property
    def tool_task(self) -> str:
        return f'[[TOOL mark {{"n": {self.number}}}]]'

    @property
    def word_task(self) -> str:
        return f"[[WORDS 8 50]] of {self.number}"

    @property
    def message(self) -> str:
        tasks = f'<TOOL mark {{"n": {self.number}}}> || DELEGATE helper: <WORDS 8 50> of {self.number}'
        return f"[[SLEEP 400]][[DELEGATE helper: {tasks}]]"

    @property
    def answer(self) -> str:
        words = " ".join(f"word{number}" for number in range(8))
        return f"Done: Done: marked {self.number} | {words}"

    @property
    def form(self) -> dict[str, str]:
        return {"message": self.message, "run_id": self.run_id, "session_id": f"s{self.session}"}

    @property
    def steps(self) -> dict[str, str]:
        """The calls that it makes, by their places in the tree."""
        return {
            "t0/m": f"model {self.message} #0",
            "t0/c0/t0/m": f"model {self.tool_task} #0",
            "t0/c0/t0/c0": f"mark {self.number}",
            "t0/c0/t1/m": f"model {self.tool_task} #1",
            "t0/c1/t0/m": f"model {self.word_task} #0",
            "t1/m": f"model {self.message} #1",
        }


PLAN = [PlannedRun(turn * SESSIONS + session, session, turn) for turn in range(ROUNDS) for session in range(SESSIONS)]


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    components = Path(__file__).with_name("components.py")
    with fleet(tmp_path, database_url, components, concurrency=AT_ONCE, dead_seconds=8) as deployment:
        yield deployment


def calls(place: Fleet) -> list[str]:
    """What was called, in order; a tool's call without its key."""
    return [" ".join(line.split()[:2]) if line.startswith("mark ") else line for line in place.calls()]


def stored(place: Fleet) -> set[str]:
    """The calls whose results are stored."""
    rows = place.select("SELECT root_id, path FROM journal WHERE result IS NOT NULL AND kind IN ('model', 'tool')")
    steps = {planned.run_id: planned.steps for planned in PLAN}
    return {call for row in rows if (call := steps[row["root_id"]].get(row["path"]))}


class Crash(NamedTuple):
    """What was stored when a worker was killed, and how often each call had been made by then."""

    stored: set[str]
    counts: Counter[str]


def kill_and_replace(place: Fleet, workers: list[Process]) -> list[Crash]:
    """Kill the oldest worker in the middle of its work, again and again until all runs have ended."""
    crashes: list[Crash] = []
    next_one = place.begin("worker")

    def is_over() -> bool:
        return place.number(ENDED) == len(PLAN)

    while True:
        goal = place.number(ENDED) + KILL_EVERY

        def is_time(victim: Process = workers[0], goal: int = goal) -> bool:
            return is_over() or (place.number(ENDED) >= goal and place.runs_of(victim) > 0)

        until(is_time, f"{KILL_EVERY} more runs have ended", PATIENCE_SECONDS)
        if is_over():
            return crashes
        workers.pop(0).kill()
        crashes.append(Crash(stored(place), Counter(calls(place))))
        workers.append(next_one.started())
        next_one = place.begin("worker")


def read(http: httpx2.Client, planned: PlannedRun) -> str:
    """Start a run and read its stream to the end."""
    with http.stream("POST", "/teams/desk/runs", data=planned.form, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status_code == 200
        return "".join(answer.iter_text())


@pytest.mark.timeout(600)
def test_runs_end_once_and_in_order_while_workers_are_killed(place: Fleet) -> None:
    front, workers = place.serve("--no-worker"), [place.work() for _ in range(WORKERS)]
    for planned in PLAN:
        if planned.turn < ROUNDS - 1:
            front.accepted(planned.message, planned.run_id, "teams/desk", f"s{planned.session}")
    began = clock.monotonic()
    with ThreadPoolExecutor(SESSIONS) as readers:
        reading = {one.run_id: readers.submit(read, front.http, one) for one in PLAN if one.turn == ROUNDS - 1}
        crashes = kill_and_replace(place, workers)
        streams = {run_id: future.result() for run_id, future in reading.items()}
    seconds = clock.monotonic() - began
    check_rows(place)
    check_made(place, crashes)
    for planned in PLAN:
        check_events(place.stored_events(planned.run_id), planned)
    for run_id, text in streams.items():
        assert [event["event_index"] for event in read_stream(text)] == [
            index for index, _ in place.stored_events(run_id)
        ]
    attempts = place.number("SELECT sum(attempt) AS n FROM runs WHERE parent_id IS NULL")
    print(f"{len(PLAN)} runs, {len(crashes)} kills, {attempts} attempts, {seconds:.0f} s")  # noqa: T201 - figures


def check_rows(place: Fleet) -> None:
    """All are there once and completed, each line in the order of acceptance; nobody alive was taken for dead."""
    rows = place.select("SELECT run_id, lane, seq, state, holder FROM runs WHERE parent_id IS NULL ORDER BY lane, seq")
    assert {row["run_id"] for row in rows} == {planned.run_id for planned in PLAN}
    assert {(row["state"], row["holder"]) for row in rows} == {("completed", None)}
    members = place.select("SELECT state, count(*) AS n FROM runs WHERE parent_id IS NOT NULL GROUP BY state")
    assert members == [{"state": "completed", "n": 2 * len(PLAN)}]
    assert "heartbeat lost" not in place.log
    assert "Traceback" not in place.log


def check_made(place: Fleet, crashes: list[Crash]) -> None:
    """Every call was made, in order; again only where a worker was killed over it, and never once it was stored."""
    call_counts = calls(place)
    counts, first = Counter(call_counts), {call: at for at, call in reversed(list(enumerate(call_counts)))}
    attempts = place.select("SELECT run_id, attempt FROM runs WHERE parent_id IS NULL")
    taken_over = {row["run_id"]: row["attempt"] - 1 for row in attempts}
    for planned in PLAN:
        assert (
            sum(counts[call] for call in planned.steps.values()) <= len(planned.steps) + 2 * taken_over[planned.run_id]
        )
    for crash in crashes:
        again = {call for call in crash.stored if counts[call] != crash.counts[call]}
        assert not again, f"stored before a kill, and called after it: {again}"
    for session in range(SESSIONS):
        line = [[first[call] for call in planned.steps.values()] for planned in PLAN if planned.session == session]
        assert all(max(before) < min(after) for before, after in pairwise(line)), f"session {session} is out of order"
    keys = Counter(line.split()[1] for line in set(place.calls()) if line.startswith("mark "))
    assert set(keys.values()) == {1}, "the same call has the same key on every attempt"


def check_events(events: list[tuple[int, Event]], planned: PlannedRun) -> None:
    """A reader is told everything, each thing once, and of one end."""
    check_each_event_once(events)
    check_calls(events)
    visible = VisibleText()
    for index, event in events:
        visible.read(index, event)
    assert visible.text(planned.run_id) == planned.answer
    ends = [event.run_id for _, event in events if event.kind.value == "run_completed"]
    assert ends[-1] == planned.run_id
    assert len(ends) == len(set(ends)) == 3, "its members' and its own"
