"""A tool call that was cut off, and may not be made twice: the run pauses, a person says, and it goes on."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core import clock
from musterd.core.errors import Conflict
from musterd.core.events import EventKind
from musterd.core.records import RunRow, RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.run_steps import steps_of
from musterd.service.runs import DecisionResult
from musterd.wire.steps import step_object
from tests.engine.conftest import Engines
from tests.support.crashes import check_each_event_once
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import CallTimes

LEADERS = '[[TOOL pay {"n": 1}]]'
MEMBERS = '[[DELEGATE one: <TOOL pay {"n": 1}>]]'
NOT_KNOWN = 'Done: {"error":"No result after 60 s; its outcome is unknown."}'
BOTH = '[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <TOOL pay {"n": 2}>]]'


class Bank:
    """A tool whose calls are counted; it hangs, until the worker dies, where the test says so."""

    def __init__(self, model: HeldModel) -> None:
        self.model = model
        self.paid: Counter[int] = Counter()
        self.keys: set[str] = set()
        self.hanging = {1, 2}
        self.hangs_first: int | None = None
        self.hangs: set[int] = set()
        self.has_hung = asyncio.Event()
        self.times: CallTimes | None = None  # with it, the time of a call that hangs is over at once

    def team(self, **declared: Any) -> Team:
        """A team whose leader and member pay."""

        @tool(timeout_seconds=declared.pop("timeout_seconds", None), retry_safe=declared.pop("retry_safe", False))
        async def pay(n: int, context: ToolContext) -> str:
            """Pay."""
            self.paid[n] += 1
            self.keys.add(context.idempotency_key)
            if n in self.hanging and (self.hangs_first is None or self.paid[n] <= self.hangs_first):
                self.hangs.add(n)
                self.has_hung.set()
                if self.times is not None:
                    self.times.end()
                await asyncio.Event().wait()
            context.session_state[f"paid {n}"] = True
            return f"paid {n}"

        one = Agent(id="one", name="One", tools=[pay], on_unknown_effect=declared.get("on_unknown_effect", "pause"))
        return Team(id="team", name="Team", model=self.model, members=[one], tools=[pay], **declared)

    async def cut_off(self, harness: EngineHarness, message: str, run_id: str = "r1", calls: int = 1) -> None:
        """Start a run, and kill its worker in the middle of so many payments. Later ones come through."""
        await harness.start(message, run_id, f"of {run_id}")
        while len(self.hangs) < calls:
            await self.has_hung.wait()
            self.has_hung.clear()
        await harness.kill()
        self.hanging, self.hangs = set(), set()


@pytest.fixture
def bank(model: HeldModel) -> Bank:
    return Bank(model)


def waiting(view: RunView) -> list[dict[str, Any]]:
    """What a paused run waits for."""
    assert view.row.state is RunState.PAUSED
    assert view.output is not None
    return view.output.requirements


async def decide(
    harness: EngineHarness, key: str, verdict: Verdict = Verdict.RUN, run_id: str = "r1", **said: Any
) -> RunRow:
    decision = Decision(key=key, verdict=verdict, **said)
    return (await harness.runs.decide(RunRef(harness.component(), run_id, f"of {run_id}", NOBODY), [decision])).run


async def approvals(harness: EngineHarness) -> list[str]:
    return [row["state"] for row in await harness.records.select("SELECT state FROM approvals ORDER BY path")]


@pytest.mark.parametrize("message", [LEADERS, MEMBERS])
async def test_it_pauses_and_makes_the_call_once_more_where_a_person_says_so(
    engines: Engines, bank: Bank, message: str
) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, message)
    async with engines(teams=teams) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        assert (requirement["tool"]["name"], requirement["tool"]["args"], requirement["kind"]) == (
            "pay",
            {"n": 1},
            "unknown_outcome",
        )
        assert requirement["started_at"] is not None
        assert bank.paid == {1: 1}
        states = set((await second.records.states()).values())
        assert states == {"paused"}, "its members too"
        await decide(second, requirement["id"])
        view = await second.end_of("r1")
        assert (await approvals(second)) == ["consumed"]
        check_each_event_once(await second.stored("r1"))
    assert (view.row.state, view.row.attempt, view.row.crashes) == (RunState.COMPLETED, 3, 0)
    assert bank.paid == {1: 2}
    assert len(bank.keys) == 1, "the same idempotency key"
    assert view.output is not None
    assert view.output.content == ("Done: paid 1" if message == LEADERS else "Done: Done: paid 1")
    assert view.output.session_state == {"paid 1": True}
    assert view.output.requirements == []


@pytest.mark.parametrize(
    "verdict, said, result, is_error",
    [
        (Verdict.HAPPENED, {"result": "receipt 7"}, "receipt 7", False),
        (Verdict.REFUSED, {"note": "leave it"}, "leave it", True),
        (Verdict.REFUSED, {}, "The call was interrupted", True),
    ],
)
async def test_a_person_says_what_came_of_it(
    engines: Engines, bank: Bank, verdict: Verdict, said: dict[str, str], result: str, is_error: bool
) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=teams) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        decided_at = clock.now()
        await decide(second, requirement["tool"]["id"], verdict, **said)
        view = await second.end_of("r1")
        steps = await second.records.select("SELECT state FROM journal WHERE path = 't0/c0'")
        (ended,) = await second.records.select("SELECT ended_at FROM journal WHERE path = 't0/c0'")
        (step,) = [step_object(step) for step in await steps_of(second.database, view.row, "t0/m", 1)]
    assert bank.paid == {1: 1}
    assert step["settled"] is not None
    assert step["settled"]["outcome"] == verdict.value
    assert [(one["outcome"], one["ended_at"]) for one in step["attempts"]] == [("unknown", None)], "it was cut off"
    assert view.output is not None
    (call,) = view.output.tools
    assert ((call.result or "").startswith(result), call.is_error) == (True, is_error)
    assert steps == [{"state": "failed" if is_error else "completed"}]
    assert ended["ended_at"] >= decided_at, "not before anybody knew"


async def test_a_call_whose_time_is_over_is_a_question_too(
    engines: Engines, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.times = CallTimes(monkeypatch)
    async with engines(teams=[bank.team(timeout_seconds=60)]) as harness:
        await harness.start(MEMBERS, "r1", "of r1")
        (first,) = waiting(await harness.end_of("r1"))
        assert (first["tool"]["name"], first["kind"]) == ("pay", "unknown_outcome")
        assert first["started_at"] is not None
        kinds = [event.kind for _, event in await harness.stored("r1")]
        assert EventKind.TOOL_CALL_COMPLETED not in kinds
        await decide(harness, first["id"])  # it hangs again
        (second,) = waiting(await harness.end_of("r1"))
        assert second["id"] != first["id"], "an old decision says nothing about the new call"
        bank.hanging = set()
        await decide(harness, second["id"])
        view = await harness.end_of("r1")
        check_each_event_once(await harness.stored("r1"))
    assert view.output is not None
    assert (view.row.state, view.output.content) == (RunState.COMPLETED, "Done: Done: paid 1")
    assert bank.paid == {1: 3}
    assert len(bank.keys) == 1, "the same idempotency key"


@pytest.mark.parametrize(
    "policy, hanging, paid, said",
    [
        ("retry", 1, 2, "Done: paid 1"),
        ("retry", 2, 2, NOT_KNOWN),
        ("fail", 1, 1, NOT_KNOWN),
    ],
)
async def test_a_team_may_decide_about_a_call_whose_time_is_over(
    engines: Engines, bank: Bank, monkeypatch: pytest.MonkeyPatch, policy: str, hanging: int, paid: int, said: str
) -> None:
    bank.times = CallTimes(monkeypatch)
    bank.hangs_first = hanging
    async with engines(teams=[bank.team(timeout_seconds=60, on_unknown_effect=policy)]) as harness:
        view = await harness.run(LEADERS, "r1")
        check_each_event_once(await harness.stored("r1"))
    assert view.output is not None
    assert (view.row.state, view.output.content, bank.paid) == (RunState.COMPLETED, said, {1: paid})


async def test_a_decision_again_under_its_key_is_taken_once(engines: Engines, bank: Bank) -> None:
    teams = [bank.team(hold_paused=True)]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=teams) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        await second.start("[[SAY next]]", "r2", "of r1")
        assert (await second.records.states())["r2"] == "queued", "the team's sessions wait for their paused runs"
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN)

        async def ask() -> DecisionResult:
            return await second.runs.decide(RunRef(second.component(), "r1", "of r1", NOBODY), [decision], "k")

        both = await asyncio.gather(ask(), ask())
        assert sorted(decided.is_repeated for decided in both) == [False, True]
        assert (await second.end_of("r2")).row.state is RunState.COMPLETED
        late = await ask()
        assert (late.is_repeated, late.run.state, late.after) == (True, RunState.COMPLETED, both[0].after)
        kinds = [event.kind for index, event in await second.stored("r1") if index > late.after]
    assert (kinds[0], kinds[-1]) == (EventKind.RUN_CONTINUED, EventKind.RUN_COMPLETED)
    assert (bank.paid, both[0].after) == ({1: 2}, both[1].after)


@pytest.mark.parametrize("rule, times, result", [("retry", 2, "paid 1"), ("fail", 1, "The call was interrupted")])
async def test_a_team_may_say_once_and_for_all(
    engines: Engines, bank: Bank, rule: str, times: int, result: str
) -> None:
    teams = [bank.team(on_unknown_effect=rule)]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=teams) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    assert (bank.paid, len(bank.keys)) == ({1: times}, 1)
    assert view.output is not None
    assert (view.output.tools[0].result or "").startswith(result)


async def test_a_decision_counts_for_a_tool_that_may_be_retried_since(engines: Engines, bank: Bank) -> None:
    async with engines(teams=[bank.team()]) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=[bank.team()]) as second:
        (requirement,) = waiting(await second.end_of("r1"))
    async with engines(teams=[bank.team(retry_safe=True)]) as third:
        await decide(third, requirement["id"], Verdict.HAPPENED, result="paid by hand")
        view = await third.end_of("r1")
        assert await approvals(third) == ["consumed"]
    assert view.output is not None
    assert view.output.content == "Done: paid by hand"
    assert bank.paid == {1: 1}


async def test_a_question_outlives_a_new_rule(engines: Engines, bank: Bank) -> None:
    async with engines(teams=[bank.team()]) as first:
        await bank.cut_off(first, BOTH, calls=2)
    async with engines(teams=[bank.team()]) as second:
        one, other = waiting(await second.end_of("r1"))
    async with engines(teams=[bank.team(on_unknown_effect="fail")]) as third:
        await decide(third, one["id"], Verdict.HAPPENED, result="paid by hand")
        assert [row["id"] for row in waiting(await third.end_of("r1"))] == [other["id"]]
        await decide(third, other["id"], Verdict.REFUSED)
        assert (await third.end_of("r1")).row.state is RunState.COMPLETED
        assert await approvals(third) == ["consumed", "consumed"]


async def test_two_at_once_are_decided_in_two_rounds(engines: Engines, bank: Bank) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, BOTH, calls=2)
    async with engines(teams=teams) as second:
        one, two = waiting(await second.end_of("r1"))
        await decide(second, two["id"])
        (left,) = waiting(await second.end_of("r1"))
        assert left == one, "the same requirement under the same id"
        assert bank.paid == {1: 1, 2: 2}
        assert await approvals(second) == ["pending", "consumed"]
        await decide(second, one["id"], Verdict.HAPPENED, result="by hand")
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert (view.output and view.output.content) == "Done: Done: by hand | Done: paid 2"
    assert bank.paid == {1: 1, 2: 2}
    check_each_event_once(events)
    kinds = [event.kind for _, event in events if event.run_id == "r1"]
    assert kinds.count(EventKind.RUN_PAUSED) == 2
    assert [
        event.data["reason"] for _, event in events if event.kind is EventKind.RUN_CONTINUED and event.run_id == "r1"
    ] == [
        "recovered",
        "decided",
        "decided",
    ]


async def test_other_branches_go_on_until_none_can(engines: Engines, bank: Bank, model: HeldModel) -> None:
    teams = [bank.team()]
    hold = model.hold("[[WORDS 4]]", after=1)
    async with engines(teams=teams) as first:
        await bank.cut_off(first, '[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <WORDS 4>]]')
    async with engines(teams=teams) as second:
        await hold.reached.wait()
        await second.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        assert (await second.records.row("r1")).state is RunState.RUNNING
        hold.release()
        waiting(await second.end_of("r1"))
        members = {member.row.path: member.row.state for member in await second.members("r1")}
    assert members == {"t0/c0": RunState.PAUSED, "t0/c1": RunState.COMPLETED}


async def test_a_decision_that_comes_while_others_are_at_work_needs_no_pause(
    engines: Engines, bank: Bank, model: HeldModel
) -> None:
    teams = [bank.team()]
    hold = model.hold("[[WORDS 4]]", after=1)
    async with engines(teams=teams) as first:
        await bank.cut_off(first, '[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <WORDS 4>]]')
    async with engines(teams=teams) as second:
        await hold.reached.wait()
        index = await second.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        (paused,) = [event for at, event in await second.stored("r1") if at == index]
        run = await decide(second, paused.data["requirements"][0]["id"])
        assert run.state is RunState.RUNNING
        hold.release()
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert bank.paid == {1: 2}
    check_each_event_once(events)
    assert EventKind.RUN_PAUSED not in {event.kind for _, event in events if event.run_id == "r1"}


async def test_a_worker_that_dies_after_a_decision_asks_again(engines: Engines, bank: Bank) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, MEMBERS)
    async with engines(teams=teams) as second:
        (once,) = waiting(await second.end_of("r1"))
        bank.hanging = {1}
        await decide(second, once["id"])
        await bank.has_hung.wait()
        assert await approvals(second) == ["consumed"]
        await second.kill()
        bank.hanging = set()
    async with engines(teams=teams) as third:
        (again,) = waiting(await third.end_of("r1"))
        assert bank.paid == {1: 2}, "made once for the decision, and not again without one"
        assert again["id"] != once["id"], "the old decision, sent again, is not about this call"
        assert again["started_at"] > once["started_at"]
        assert sorted(await approvals(third)) == ["consumed", "pending"], "what was decided stays on record"
        await decide(third, again["id"], Verdict.HAPPENED, result="twice")
        view = await third.end_of("r1")
        events = await third.stored("r1")
    assert (view.output and view.output.content) == "Done: Done: twice"
    assert len(bank.keys) == 1
    check_each_event_once(events)
    (member,) = {event.run_id for _, event in events} - {"r1"}
    kinds = [event.kind for _, event in events if event.run_id == member]
    assert kinds.count(EventKind.RUN_PAUSED) == kinds.count(EventKind.RUN_CONTINUED) == 2


async def test_a_decision_that_was_not_acted_on_outlives_its_worker(engines: Engines, bank: Bank) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=teams) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        second.engine.wake = lambda: None  # type: ignore[method-assign]
        assert (await decide(second, requirement["id"])).state is RunState.READY
        await second.kill()
    async with engines(teams=teams) as third:
        assert (await third.end_of("r1")).row.state is RunState.COMPLETED
    assert bank.paid == {1: 2}


async def test_a_paused_run_holds_up_nobody(engines: Engines, bank: Bank) -> None:
    teams = [bank.team()]
    async with engines(teams=teams, concurrency=1) as first:
        await bank.cut_off(first, LEADERS)
    async with engines(teams=teams, concurrency=1) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        for number in (2, 3):
            assert (await second.run("[[SAY hello]]", f"r{number}", "of r1")).row.state is RunState.COMPLETED
        hold = bank.model.hold("held")
        await second.start("held", "r4", "of r1")
        await second.start("[[SAY last]]", "r5", "of r1")
        await hold.reached.wait()
        assert (await decide(second, requirement["id"])).state is RunState.QUEUED, "its line is taken"
        assert await second.records.position("r1") == 1, "it kept its place: behind the run at work alone"
        assert await second.records.position("r5") == 2
        hold.release()
        view = await second.end_of("r5")
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
        order = await second.records.select("SELECT run_id FROM runs WHERE seq IS NOT NULL ORDER BY ended_at")
    assert view.row.state is RunState.COMPLETED
    assert [row["run_id"] for row in order] == ["r2", "r3", "r4", "r1", "r5"]


async def test_cancelling_a_paused_run_closes_what_it_waits_for(engines: Engines, bank: Bank) -> None:
    teams = [bank.team()]
    async with engines(teams=teams) as first:
        await bank.cut_off(first, BOTH, calls=2)
    async with engines(teams=teams) as second:
        one, _ = waiting(await second.end_of("r1"))
        assert (await second.cancel("r1")) is not None
        view = await second.end_of("r1")
        assert view.row.state is RunState.CANCELLED
        assert set((await second.records.states()).values()) == {"cancelled"}
        assert await approvals(second) == ["closed", "closed"]
        with pytest.raises(Conflict):
            await decide(second, one["id"])
        assert (await second.records.row("r1")).state is RunState.CANCELLED
    assert bank.paid == {1: 1, 2: 1}


async def test_a_cancel_wins_over_a_pause(engines: Engines, bank: Bank, model: HeldModel) -> None:
    teams = [bank.team()]
    hold = model.hold("[[WORDS 4]]", after=1)
    async with engines(teams=teams) as first:
        await bank.cut_off(first, '[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <WORDS 4>]]')
    async with engines(teams=teams) as second:
        await hold.reached.wait()
        await second.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        await second.records.cancel("r1")  # stored by another process: this one is not told
        hold.release()
        view = await second.end_of("r1")
        assert await approvals(second) == ["closed"]
    assert view.row.state is RunState.CANCELLED
    assert view.output is not None
    assert (view.output.content, view.output.requirements) == (None, [])
