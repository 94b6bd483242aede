"""Processes that die or leave: every accepted run ends, once, in whichever process comes next."""

from tests.support.model_server import ModelServer
from tests.support.process import ALL_LIVE, environment_of
from tests.support.restarts import TeamDeployment, until


def test_killed_right_after_the_answer(place: TeamDeployment) -> None:
    first = place.start()
    names = [f"r{number}" for number in range(6)]
    for number, name in enumerate(names):
        assert first.post(f"[[SAY answer {number}]]", name, f"s{number % 2}") in ("PENDING", "RUNNING")
    first.kill()
    second = place.start()
    for number, name in enumerate(names):
        run = second.end_of(name)
        assert (run["status"], run["content"]) == ("COMPLETED", f"answer {number}")
    assert place.rows("SELECT count(*) FROM runs") == [(6,)]
    until(lambda: place.rows("SELECT count(*) FROM workers") == [(1,)], "the killed process to be forgotten")


def test_killed_in_the_middle_of_a_members_run(place: TeamDeployment, models: ModelServer) -> None:
    first = place.start()
    first.post("[[DELEGATE helper: <WORDS 3 2000>]]", "r1")
    first.post("[[SAY next]]", "r2")
    until(lambda: models.open_calls() == 1 and models.count() == 2, "the member's model call")
    assert first.get("r1")["status"] == "RUNNING"
    first.kill()
    second = place.start()
    run = second.end_of("r1")
    assert (run["status"], run["content"]) == ("COMPLETED", "Done: word0 word1 word2")
    assert second.end_of("r2")["content"] == "next"
    assert place.rows("SELECT run_id, attempt, crashes FROM runs WHERE parent_id IS NULL ORDER BY seq") == [
        ("r1", 2, 0),  # a stored step forgets the crash before it
        ("r2", 1, 0),
    ]
    assert place.rows("SELECT crashes_in_all FROM runs WHERE run_id = 'r1'") == [(1,)]
    assert place.rows("SELECT count(*), min(state), max(state) FROM runs WHERE parent_id IS NOT NULL") == [
        (1, "completed", "completed")
    ]
    ends = place.rows("SELECT payload FROM run_events WHERE root_id = 'r1' AND payload LIKE '%run_continued%'")
    assert len(ends) == 1


def test_told_to_stop_in_the_middle_of_a_run(place: TeamDeployment, models: ModelServer) -> None:
    first = place.start()
    first.post("[[DELEGATE helper: <WORDS 3 2000>]]", "r1")
    first.post("[[SAY next]]", "r2")
    until(lambda: models.open_calls() == 1 and models.count() == 2, "the member's model call")
    assert first.terminate() == 0
    assert "Traceback" not in first.log
    assert place.rows("SELECT run_id, state, worker FROM runs WHERE parent_id IS NULL ORDER BY seq") == [
        ("r1", "ready", None),
        ("r2", "queued", None),
    ]
    assert place.rows("SELECT count(*) FROM workers") == [(0,)]
    assert (models.open_calls(), models.count()) == (0, 2), "the call under way was let finish, none was begun"
    second = place.start()
    assert second.end_of("r1")["content"] == "Done: word0 word1 word2"
    assert second.end_of("r2")["status"] == "COMPLETED"
    assert models.count() == 4, "no stored step was done again"
    assert place.rows("SELECT attempt, crashes FROM runs WHERE parent_id IS NULL ORDER BY seq") == [(2, 0), (1, 0)]
    assert second.terminate() == 0


def test_told_to_stop_while_a_tool_hangs_in_its_thread(place: TeamDeployment) -> None:
    first = place.start(MUSTERD_DRAIN_SECONDS="0.5")
    first.post("[[TOOL stay {}]]", "r1")
    until(place.mark.exists, "the tool")
    assert first.terminate() == 0, "a thread that never ends does not hold up the process"
    assert place.rows("SELECT state FROM runs") == [("ready",)]


def test_a_start_says_that_a_call_waits_for_a_person(place: TeamDeployment) -> None:
    first = place.start()
    assert "approvals ls" not in first.log
    first.post("[[TOOL stay {}]]", "r1")
    until(place.mark.exists, "the tool")
    first.kill()
    second = place.start()
    until(lambda: place.rows("SELECT state FROM runs") == [("paused",)], "the question about the call")
    assert second.terminate() == 0
    assert "  waiting   1 approval: musterd approvals ls --url http://" in place.start().log


def test_killed_again_and_again(place: TeamDeployment, models: ModelServer) -> None:
    for attempt in range(1, 4):
        process = place.start()
        if attempt == 1:
            process.post("[[SLEEP 60000]][[SAY never]]", "r1")
        until(lambda seen=attempt: models.count() == seen, f"the call of attempt {attempt}")  # type: ignore[misc]
        until(lambda: place.rows("SELECT path FROM journal") == [("p",)], "the first attempt's one step is stored")
        until(lambda: place.rows("SELECT not_before FROM runs") == [(None,)], "the attempt has stored something")
        process.kill()
    last = place.start()
    until(lambda: models.count() == 4, "the last attempt's call")
    status, _ = last.ask("POST", "/teams/desk/runs/r1/cancel")
    assert status == 200
    assert last.end_of("r1")["status"] == "CANCELLED"
    assert place.rows("SELECT attempt, crashes FROM runs") == [(4, 3)]


def test_two_processes_leave_each_others_runs_alone(place: TeamDeployment, models: ModelServer) -> None:
    all_live = environment_of(ALL_LIVE)
    first = place.start(**all_live)
    first.post("[[TOOL stay {}]]", "r1", "one")
    until(place.mark.exists, "the first one's tool")
    second = place.start(**all_live)
    second.post("[[SAY mine]]", "r2", "two")
    assert second.end_of("r2")["content"] == "mine"
    assert second.get("r1")["status"] == "RUNNING", "any process shows any run"
    second.post("[[SLEEP 60000]]", "r3", "three")
    until(lambda: models.open_calls() == 1, "the second one's model call")
    assert place.rows("SELECT count(*) FROM workers") == [(2,)]
    second.kill()
    place.let_go()
    assert first.end_of("r1")["content"] == "Done: gone"
    assert place.rows("SELECT attempt, crashes FROM runs WHERE run_id = 'r1'") == [(1, 0)]


def test_locks_beside_the_file_come_and_go_with_processes(file_place: TeamDeployment) -> None:
    first, second = file_place.start(), file_place.start()
    assert len(file_place.locks) == 2
    first.kill()
    second.kill()
    assert len(file_place.locks) == 2
    third = file_place.start()
    assert len(file_place.locks) == 1, "those of the dead were cleared away"
    assert third.terminate() == 0
    assert file_place.locks == []
