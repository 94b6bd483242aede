"""The shares of the processes in the schedules that are due."""

from musterd.features.schedules.due_shares import OTHERS_SECONDS, Due, share_of

START = 1_800_000_000.0  # 2027-01-15T08:00Z


def test_workers_share_what_is_due_and_take_what_others_leave() -> None:
    workers = dict.fromkeys(["a", "b", "c"], frozenset(["team:desk"]))
    due = [Due(f"schedule-{number}", "team:desk", START) for number in range(300)]
    every = [one.id for one in due]
    served = ["team:desk"]
    shares = [share_of(worker, workers, served, due, START) for worker in workers]
    assert sorted(one for share in shares for one in share) == sorted(every)
    assert min(len(share) for share in shares) > 60
    assert share_of("unknown", workers, served, due, START) == []
    assert share_of("unknown", workers, served, due, START + OTHERS_SECONDS) == every
    assert share_of("unknown", workers, ["agent:clerk"], due, START + 100) == [], "others serve it"
    assert share_of("a", {}, served, due, START) == every


def test_only_workers_that_serve_a_component_share_its_schedules() -> None:
    workers = {"a": ["team:desk"], "b": ["team:desk", "agent:clerk"], "c": ["agent:clerk"]}
    due = [Due(f"schedule-{number}", "team:desk", START) for number in range(100)]
    first, second = (set(share_of(worker, workers, workers[worker], due, START)) for worker in ("a", "b"))
    assert first | second == {one.id for one in due}
    assert first & second == set()
    assert share_of("c", workers, workers["c"], due, START) == []
    nothing_to_run = [Due(f"health-{number}", "", START) for number in range(100)]
    assert all(share_of(worker, workers, [], nothing_to_run, START) for worker in workers)
    unserved = [Due("other", "team:other", START)]
    assert [share_of(worker, workers, [], unserved, START) for worker in workers] == [["other"]] * 3
