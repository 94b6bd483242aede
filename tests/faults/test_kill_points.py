"""A process is killed at each point where that matters; the next one comes to the end as if nothing had happened."""

import json
from collections import Counter

import pytest

from musterd.core.events import Event
from musterd.core.faults import POINTS
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS
from musterd.store import events
from tests.support.crashes import VisibleText, check_calls, check_each_event_once
from tests.support.process import Deployment, until
from tests.support.store import of_run

LATER = ("claiming", "claimed", "handing_over", "handed_over", "taking_over", "taken_over")
# Points of webhooks, schedules, imports and knowledge bases, which these runs do not reach.
BESIDE = ("sending", "sent", "firing", "fired", "part_imported", "embedder_loading")
ALONG_THE_RUN = [name for name in POINTS if name not in (*LATER, *BESIDE) and not name.startswith("content_")]
TASK = '[[TOOL mark {"n": 1}]]'
MESSAGE = '[[DELEGATE helper: <TOOL mark {"n": 1}>]]'
CALLS = {"t0/m": f"model {MESSAGE} #0", "t1/m": f"model {MESSAGE} #1"}
CALLS |= {"t0/c0/t0/m": f"model {TASK} #0", "t0/c0/t1/m": f"model {TASK} #1"}
SECOND_TIME = ("asked", "recorded")


def stored_calls(site: Deployment, run_id: str) -> set[str]:
    """The model calls whose answers are stored, and the tool call."""
    rows = site.select("SELECT path FROM journal WHERE root_id = :root AND result IS NOT NULL", root=run_id)
    return {CALLS.get(row["path"], row["path"]) for row in rows}


def calls(site: Deployment) -> Counter[str]:
    """How often each was made; the tool's under its path, by its one key."""
    counts = site.counts()
    marks = [line for line in counts if line.startswith("mark ")]
    assert len(marks) <= 1, "the same call has the same key on every attempt"
    return Counter({"t0/c0/t0/c0" if line in marks else line: n for line, n in counts.items()})


def stored_events(site: Deployment, run_id: str) -> list[tuple[int, Event]]:
    return site.do(of_run(events.all_events, run_id))


def check_end(site: Deployment, run_id: str, stored: set[str], call_counts: Counter[str]) -> None:
    """The run ended once, what was stored was not done again, what was under way was done once more at most."""
    after = calls(site)
    for call, count in after.items():
        assert count <= call_counts[call] + (0 if call in stored else 1), f"{call} was made {count} times"
    assert set(after) == {*CALLS.values(), "t0/c0/t0/c0"}
    recorded = stored_events(site, run_id)
    check_each_event_once(recorded)
    check_calls(recorded)
    visible = VisibleText()
    for index, event in recorded:
        visible.read(index, event)
    assert visible.text(run_id) == "Done: Done: marked 1"
    assert [event.kind.value for _, event in recorded if event.run_id == run_id][-1] == "run_completed"
    assert site.select("SELECT count(*) AS n FROM runs WHERE parent_id IS NULL") == [{"n": 1}]
    assert site.run(run_id)["holder"] is None


@pytest.mark.parametrize(
    "point, n",
    [(name, 1) for name in ALONG_THE_RUN] + [(name, 2) for name in SECOND_TIME],
    ids=lambda value: str(value),
)
def test_killed_along_the_run(site: Deployment, point: str, n: int) -> None:
    first = site.serve(fault=f"{point}:{n}:kill")
    first.post(MESSAGE, "r1", "teams/desk")
    first.died()
    stored, call_counts = stored_calls(site, "r1"), calls(site)
    was_accepted = site.state("r1") != ""
    assert was_accepted == (point != "accepting")
    second = site.serve()
    if not was_accepted:
        second.accepted(MESSAGE, "r1", "teams/desk")
    view = second.ended("r1", "teams/desk")
    assert (view["status"], view["content"]) == ("COMPLETED", "Done: Done: marked 1")
    check_end(site, "r1", stored, call_counts)


@pytest.mark.parametrize("point", ["claiming", "claimed"])
def test_killed_at_a_claim(site: Deployment, point: str) -> None:
    accepting = site.serve("--no-worker")
    accepting.accepted(MESSAGE, "r1", "teams/desk")
    accepting.kill()
    site.work(fault=f"{point}:1:kill").died()
    assert site.state("r1") == ("ready" if point == "claiming" else "running")
    second = site.serve()
    assert second.ended("r1", "teams/desk")["status"] == "COMPLETED"
    check_end(site, "r1", set(), Counter())


@pytest.mark.parametrize("point", ["handing_over", "handed_over"])
def test_killed_at_a_hand_over(site: Deployment, point: str) -> None:
    first = site.serve(fault=f"{point}:1:kill")
    first.accepted('[[TOOL hold {"name": "go"}]]', "r1")
    site.reached("go")
    first.popen.terminate()
    until(first.is_closed, "it takes no more connections")
    site.release("go")
    first.died()
    assert site.state("r1") == ("running" if point == "handing_over" else "ready")
    view = site.serve().ended("r1")
    assert (view["status"], view["content"]) == ("COMPLETED", "Done: held go")
    assert site.counts()["hold go"] == 1, "its result was stored before"


@pytest.mark.parametrize("point", ["taking_over", "taken_over"])
def test_killed_while_it_takes_over(site: Deployment, point: str) -> None:
    first = site.serve()
    first.accepted('[[TOOL hold {"name": "go"}]]', "r1", session_id="s1")
    site.reached("go")
    first.kill()
    site.dies(f"{point}:1:kill")
    assert site.state("r1") == ("running" if point == "taking_over" else "ready")
    view = site.serve().ended("r1")
    assert view["status"] == "PAUSED", "nobody can say whether the tool's call happened"
    assert site.run("r1")["crashes_in_all"] == 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_model_call_that_died_with_its_process_is_charged(site: Deployment, n: int) -> None:
    first = site.serve(fault=f"asked:{n}:kill")
    first.post(MESSAGE, "r1", "teams/desk", budget='{"tokens": 100000, "tool_calls": 2}')
    first.died()
    (cut_off,) = site.select(
        "SELECT path, usage FROM journal WHERE root_id = 'r1' AND state = 'started' AND kind = 'model'"
    )
    estimate = json.loads(cut_off["usage"])["estimated_tokens"]
    view = site.serve().ended("r1", "teams/desk")
    assert view["status"] == "COMPLETED"
    assert estimate > 0
    lost = view["budget"]["tokens"]["spent"] - 4 * (INPUT_TOKENS + OUTPUT_TOKENS)
    assert estimate <= lost <= estimate + len("Done: marked 1") // 4, "and what readers were told of it"
    assert view["budget"]["tool_calls"] == {"limit": 2, "spent": 2, "left": 0}


def outcomes(earlier: str | None) -> list[tuple[int, str]]:
    return [(attempt["attempt"], attempt["outcome"]) for attempt in json.loads(earlier or "[]")]


def test_steps_keep_the_attempts_that_died(site: Deployment) -> None:
    first = site.serve(fault="performing:2:kill")  # the first one is the delegation
    first.post(MESSAGE, "r1", "teams/desk")
    first.died()
    second = site.serve()
    assert second.ended("r1", "teams/desk")["status"] == "COMPLETED"
    steps = {row["path"]: row for row in site.select("SELECT path, name, attempt, earlier FROM journal")}
    assert {path: row["attempt"] for path, row in steps.items() if row["earlier"]} == {"t0/c0/t0/c0": 2}
    assert outcomes(steps["t0/c0/t0/c0"]["earlier"]) == [(1, "cut_off")]
    assert (steps["t0/c0/t0/c0"]["name"], steps["t0/c0"]["name"]) == ("mark", "delegate_task_to_member")
    attempts = site.select("SELECT attempt, outcome, started_at, ended_at FROM run_attempts ORDER BY attempt")
    assert [(row["attempt"], row["outcome"]) for row in attempts] == [(1, "lost"), (2, None)]
    assert attempts[0]["started_at"] <= attempts[0]["ended_at"] <= attempts[1]["started_at"]
    totals = json.loads(site.run("r1")["totals"])
    assert (totals["model_calls"], totals["tool_calls"], totals["failed_calls"]) == (4, 2, 0)
    assert totals["output_tokens"] == 4 * OUTPUT_TOKENS
    assert site.run("r1")["activity"] is None


def test_a_model_call_that_died_with_its_process_is_an_attempt_of_its_step(site: Deployment) -> None:
    first = site.serve()
    first.accepted("[[DELEGATE helper: <WORDS 40 250>]]", "r1", "teams/desk")
    until(lambda: any(event.kind.value == "content" for _, event in stored_events(site, "r1")), "the member writes")
    activity = json.loads(site.run("r1")["activity"])
    assert (activity["kind"], activity["member"], activity["tool"]) == ("writing", "helper", None)
    first.kill()
    second = site.serve()
    assert second.ended("r1", "teams/desk")["status"] == "COMPLETED"
    (row,) = site.select("SELECT attempt, earlier FROM journal WHERE path = 't0/c0/t0/m'")
    assert (row["attempt"], outcomes(row["earlier"])) == (2, [(1, "cut_off")])
