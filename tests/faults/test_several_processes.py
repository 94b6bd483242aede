"""Several processes on one database: they take over, hear of each other, and never write for another."""

import signal
import threading
from typing import Any

import httpx2
import pytest

from tests.support.http import read_stream
from tests.support.process import ALL_LIVE, QUICK, SOON_DEAD, Deployment, Process, until

WAIT = '[[TOOL wait {"name": "go"}]]'
TABLES = ("runs", "journal", "run_events", "run_io")


def records(site: Deployment) -> list[list[dict[str, Any]]]:
    """Everything that an attempt writes."""
    return [site.select(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]  # noqa: S608 - constants


def test_a_killed_ones_runs_are_taken_over_while_the_other_runs(site: Deployment) -> None:
    first, second = site.serve(**SOON_DEAD), site.serve(**SOON_DEAD)
    site.folder.joinpath("go").touch()
    first.accepted("[[SLEEP 60000]]", "r0", session_id="s0")
    first.accepted('[[TOOL hold {"name": "never"}]]', "r1")
    site.reached("never")
    first.kill()
    assert second.ended("r1")["status"] == "PAUSED"
    until(lambda: site.run("r0")["state"] == "running" and site.run("r0")["attempt"] == 2, "the other goes on too")
    assert site.run("r0")["worker"] == site.select("SELECT id FROM workers")[0]["id"], "the dead one is forgotten"


def stopped_at(site: Deployment, point: str) -> tuple[Process, int]:
    """A process that is stopped (SIGSTOP) at ``point`` of run r1, and the attempt that it drives.

    A process that was stopped while another of its threads held SQLite's write lock keeps everyone out until it goes
    on. That is SQLite's to say and not what these tests are about: such a process is killed, and the next one stops at
    the same point of the next attempt.
    """
    front = site.serve("--no-worker")
    front.accepted(WAIT, "r1")
    front.kill()
    for attempt in range(1, 6):
        process = site.begin("serve", "--port", "0", fault=f"{point}:stop", **QUICK)
        until(process.has_stopped, "it is stopped")
        if site.is_writable():
            return process, attempt
        process.kill()
    raise AssertionError(f"every process that stopped at {point} held the database")


@pytest.mark.parametrize("point", ["asked:1", "recording:1", "settling:1"])
def test_one_that_comes_back_from_the_dead_writes_nothing(site: Deployment, point: str) -> None:
    site.release("go")
    first, attempt = stopped_at(site, point)
    second = site.serve(**QUICK)
    view = second.ended("r1")
    assert (view["status"], view["attempts"], view["content"]) == ("COMPLETED", attempt + 1, "Done: waited go")
    before = records(site)
    first.signal(signal.SIGCONT)
    first.started()
    until(lambda: "attempt lost its run" in first.log, "it notices")
    until(lambda: len(site.select("SELECT id FROM workers")) == 2, "it is announced again")
    assert records(site) == before
    first.accepted("[[SAY back]]", "r2", session_id="s2")
    view = first.http.get("/agents/solo/runs/r2", params={"session_id": "s2", "wait": 30}).json()
    assert (view["status"], view["content"]) == ("COMPLETED", "back")


def test_a_process_with_a_blocked_event_loop_is_alive(site: Deployment) -> None:
    settings = {**QUICK, "dead_seconds": 6}  # longer than a process stands still on a busy machine
    first, second = site.serve(**settings), site.serve(**settings)
    (worker,) = site.select("SELECT id, heartbeat FROM workers WHERE pid = :pid", pid=first.popen.pid)
    first.post('[[TOOL block {"name": "go"}]]', "r1")
    site.reached("go")

    def beats() -> int:
        (row,) = site.select("SELECT heartbeat FROM workers WHERE id = :id", id=worker["id"])
        return int(row["heartbeat"])

    before = beats()
    beats_until_death = settings["dead_seconds"] / settings["beat_seconds"]
    until(lambda: beats() > before + 1.2 * beats_until_death, "its thread goes on")
    site.release("go")
    view = second.ended("r1")
    assert (view["status"], view["attempts"]) == ("COMPLETED", 1)


def test_a_cancel_comes_to_any_process(site: Deployment) -> None:
    settings = {**ALL_LIVE, "cancel_wait_seconds": 60}
    first, second = site.serve(**settings), site.serve(**settings)
    until(lambda: len(site.select("SELECT id FROM workers")) == 2, "both are announced")
    first.accepted("[[SLEEP 600000]]", "r1")
    until(lambda: site.counts()["model [[SLEEP 600000]] #0"], "the model is asked")
    answer = second.http.post("/agents/solo/runs/r1/cancel")
    assert answer.json()["status"] == "CANCELLED"
    assert site.run("r1")["state"] == "cancelled", "the answer is that of a run that has stopped"


def test_a_worker_answers_probes_where_it_is_told_to(site: Deployment) -> None:
    front = site.serve("--no-worker", **ALL_LIVE)
    worker = site.work("--port", "0", **ALL_LIVE)
    front.accepted("[[SAY hello]]", "r1")
    front.ended("r1")
    assert worker.http.get("/-/ready").json()["checks"]["worker"] == "ok"
    assert 'musterd_runs_ended_total{component="solo",kind="agent",state="completed"} 1.0' in (
        worker.http.get("/-/metrics").text
    ), "what it drove is counted there"
    assert worker.http.get("/agents").status_code == 404, "requests are others' affair"
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


def test_one_accepts_and_streams_what_another_drives(site: Deployment) -> None:
    front = site.serve("--no-worker", **ALL_LIVE)
    front.accepted("[[SAY early]]", "r0", session_id="s0")
    waiting = front.http.get("/-/ready")
    assert waiting.status_code == 503
    assert "agent:solo" in waiting.json()["detail"]
    site.work(**ALL_LIVE)
    until(lambda: site.state("r0") == "completed", "what waited is driven")
    assert front.http.get("/-/ready").status_code == 200
    streamed = front.http.post(
        "/teams/desk/runs", data={"message": "[[DELEGATE helper: <WORDS 20 5>]]", "run_id": "r1"}
    )
    events = read_stream(streamed.text)
    assert events[-1]["event"] == "TeamRunCompleted"
    stored = site.select("SELECT CAST(sum(count) AS INTEGER) AS n FROM run_events WHERE root_id = 'r1'")
    assert [event["event_index"] for event in events] == list(range(stored[0]["n"])), "all of them, each once"
    answer = front.http.post("/agents/solo/runs", data={"message": "[[SAY whole]]", "stream": "false"})
    assert (answer.status_code, answer.json()["content"]) == (200, "whole")


def test_a_copy_is_looked_at_and_not_run(site: Deployment) -> None:
    first = site.serve()
    first.accepted('[[TOOL hold {"name": "go"}]]', "r1")
    first.accepted("[[SAY next]]", "r2")
    site.reached("go")
    first.kill()
    before = records(site)
    copy = site.serve("--no-recover", **QUICK)
    assert copy.http.get("/agents/solo/runs/r1?session_id=s1").json()["status"] == "RUNNING"
    copy.accepted("[[SAY new]]", "r3", session_id="s3")
    third = site.serve("--no-worker", "--no-recover", **QUICK)
    assert third.http.get("/agents/solo/runs/r3?session_id=s3").json()["status"] == "PENDING"
    assert copy.http.get("/agents/solo/runs/r2?session_id=s1").json()["status"] == "PENDING"
    after = records(site)
    assert [row for row in after[0] if row["run_id"] != "r3"] == before[0]
    copy.signal(signal.SIGTERM)
    assert copy.exit_code() == 0


# Stopping


def begin_in_tool(site: Deployment, process: Process) -> None:
    """A run that is in its tool."""
    process.accepted('[[TOOL hold {"name": "go"}]]', "r1")
    site.reached("go")


def test_a_step_under_way_may_finish(site: Deployment) -> None:
    first = site.serve()
    begin_in_tool(site, first)
    first.signal(signal.SIGTERM)
    until(first.is_closed, "it takes no more requests")
    site.release("go")
    assert first.exit_code() == 0
    run = site.run("r1")
    assert (run["state"], run["crashes"], run["holder"], run["worker"]) == ("ready", 0, "s1", None)
    steps = site.select("SELECT path, state FROM journal ORDER BY path")
    assert steps == [{"path": path, "state": "completed"} for path in ("p", "t0/c0", "t0/m")]
    assert site.select("SELECT id FROM workers") == []
    view = site.serve().ended("r1")
    assert (view["status"], view["attempts"]) == ("COMPLETED", 2)
    assert site.counts()["hold go"] == 1


@pytest.mark.parametrize("seconds, signals", [("0.1", 1), ("60", 2)])
def test_what_takes_longer_is_cut_off(site: Deployment, seconds: str, signals: int) -> None:
    first = site.serve(drain_seconds=seconds)
    begin_in_tool(site, first)
    first.signal(signal.SIGTERM)
    if signals == 2:
        until(first.is_closed, "it takes no more requests")
        first.signal(signal.SIGTERM)
    assert first.exit_code() == 0
    run = site.run("r1")
    assert (run["state"], run["crashes"]) == ("ready", 0)
    view = site.serve().ended("r1")
    assert view["status"] == "PAUSED", "nobody can say whether the tool's call happened"


def test_a_stop_says_what_it_waits_for_and_how_it_ends_at_once(site: Deployment) -> None:
    first = site.serve(drain_seconds="60")
    begin_in_tool(site, first)
    first.signal(signal.SIGINT)
    until(lambda: "stopping: 1 run finishes its current step, for at most 60 s; a second Ctrl+C" in first.log, "a line")
    assert "run_ids=r1" in first.log
    first.signal(signal.SIGINT)
    assert first.exit_code() == 0
    assert "stopping now: current steps are interrupted" in first.log
    assert "stopped" in first.log.splitlines()[-1]


def test_those_who_wait_are_told_where_to_look(site: Deployment) -> None:
    first = site.serve()
    data = {"message": '[[TOOL hold {"name": "go"}]]', "run_id": "r1", "session_id": "s1"}
    with first.http.stream("POST", "/agents/solo/runs", data=data) as streamed:
        site.reached("go")
        first.signal(signal.SIGTERM)
        text = "".join(streamed.iter_text())
    assert [event["event"] for event in read_stream(text)][-1] == "ToolCallStarted", "it ends without an end event"
    site.release("go")
    assert first.exit_code() == 0
    assert site.run("r1")["cancel_requested_at"] is None


def test_a_waiting_request_gets_a_receipt(site: Deployment) -> None:
    first, answers = site.serve(), list[httpx2.Response]()
    data = {"message": '[[TOOL hold {"name": "go"}]]', "run_id": "r1", "session_id": "s1", "stream": "false"}
    asking = threading.Thread(target=lambda: answers.append(first.http.post("/agents/solo/runs", data=data)))
    asking.start()
    site.reached("go")
    first.signal(signal.SIGTERM)
    asking.join()
    site.release("go")
    assert first.exit_code() == 0
    (answer,) = answers
    assert answer.status_code == 202
    assert answer.headers["location"] == "/agents/solo/runs/r1?session_id=s1"
