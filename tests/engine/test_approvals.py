"""Tool calls that a person is asked about first: they wait, are made once where that person says so, or are not."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest

from musterd import Agent, Team, ToolContext, ask_user, get_user_input, tool
from musterd.core import clock
from musterd.core.approvals import Resolution
from musterd.core.errors import Conflict, Forbidden, InvalidInput
from musterd.core.events import EventKind
from musterd.core.records import RunRow, RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.engine import attempt_execution
from musterd.service.run_ref import RunRef
from musterd.store import events as events_of_runs
from musterd.store import pauses
from musterd.store.attempt_writes import Settled
from tests.engine.conftest import Engines
from tests.support.crashes import check_calls, check_each_event_once
from tests.support.engine import NOBODY, EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.time_limits import CallTimes

LEADERS = '[[TOOL pay {"n": 1}]]'
MEMBERS = '[[DELEGATE one: <TOOL pay {"n": 1}>]]'
BOTH = '[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <TOOL pay {"n": 2}>]]'
NO = Verdict.REFUSED


class Desk:
    """Tools that ask first, and count what they do; ``pay`` hangs where the test says so."""

    def __init__(self, model: HeldModel) -> None:
        self.model = model
        self.paid: Counter[int] = Counter()
        self.keys: set[str] = set()
        self.booked: list[tuple[str, int, str]] = []
        self.is_hanging = False
        self.has_hung = asyncio.Event()
        self.times: CallTimes | None = None  # with it, the time of a call that hangs is over at once

    def team(self, **flags: Any) -> Team:
        """A team whose leader and member have the tools; ``flags`` are those of ``pay``."""

        @tool(**{"requires_confirmation": True, **flags})
        async def pay(n: int, context: ToolContext) -> str:
            """Pay."""
            self.paid[n] += 1
            self.keys.add(context.idempotency_key)
            if self.is_hanging:
                self.has_hung.set()
                if self.times is not None:
                    self.times.end()
                await asyncio.Event().wait()
            context.session_state[f"paid {n}"] = True
            return f"paid {n}"

        @tool(user_input_fields=["nights", "room"])
        async def book(city: str, nights: int, room: Literal["single", "double"] = "single") -> str:
            """Book a hotel."""
            self.booked.append((city, nights, room))
            return f"{nights} nights in {city}, {room}"

        @tool(external_execution=True)
        async def mail(to: str) -> str:
            """Send a mail."""
            raise AssertionError("the client does it")

        tools = [pay, book, mail]
        return Team(
            id="team", name="Team", model=self.model, members=[Agent(id="one", name="One", tools=tools)], tools=tools
        )


@pytest.fixture
def desk(model: HeldModel) -> Desk:
    return Desk(model)


def waiting(view: RunView) -> list[dict[str, Any]]:
    """What a paused run waits for."""
    assert view.row.state is RunState.PAUSED, view.output and view.output.content
    assert view.output is not None
    return view.output.requirements


async def decide(harness: EngineHarness, key: str, verdict: Verdict = Verdict.RUN, **said: Any) -> RunRow:
    decision = Decision(key=key, verdict=verdict, **said)
    return (await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [decision])).run


async def approvals(harness: EngineHarness) -> list[tuple[str, str]]:
    rows = await harness.records.select("SELECT state, status FROM approvals ORDER BY path, created_at")
    return [(row["state"], row["status"]) for row in rows]


def content(view: RunView) -> str:
    assert view.output is not None
    return f"{view.row.state}: {view.output.content}"


# --- confirmation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [LEADERS, MEMBERS])
async def test_a_confirmed_call_is_made_once_by_another_process(engines: Engines, desk: Desk, message: str) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(message, "r1"))
        assert (requirement["kind"], requirement["tool"]["args"], requirement["started_at"]) == (
            "confirmation",
            {"n": 1},
            None,
        )
        assert set((await first.records.states()).values()) == {"paused"}
        call_events = [
            event for _, event in await first.stored("r1") if event.data.get("tool", {}).get("name") == "pay"
        ]
        assert call_events == [], "it has not started"
    assert desk.paid == {}
    async with engines(teams=teams) as second:
        assert content(await second.end_of("r1")).startswith("paused: Team run paused.")
        await decide(second, requirement["id"])
        view = await second.end_of("r1")
        assert await approvals(second) == [("consumed", "approved")]
        events = await second.stored("r1")
        check_each_event_once(events)
        check_calls(events)
        steps = await second.records.select("SELECT state FROM journal WHERE kind = 'tool'")
    assert content(view) == ("completed: Done: paid 1" if message == LEADERS else "completed: Done: Done: paid 1")
    assert (view.row.attempt, view.row.crashes, desk.paid, steps) == (2, 0, {1: 1}, [{"state": "completed"}])
    assert view.output is not None
    assert view.output.session_state == {"paid 1": True}
    (pay,) = [
        event for _, event in events if event.kind is EventKind.TOOL_CALL_COMPLETED and "approval" in event.data["tool"]
    ]
    assert pay.data["tool"]["approval"]["verdict"] == "run"


@pytest.mark.parametrize(
    "note, said", [("too dear", "too dear"), (None, "A person rejected the call. It was not made.")]
)
async def test_a_refused_call_is_not_made_and_the_model_reads_why(
    engines: Engines, desk: Desk, note: str | None, said: str
) -> None:
    async with engines(teams=[desk.team()]) as harness:
        (requirement,) = waiting(await harness.run(LEADERS, "r1"))
        await decide(harness, requirement["tool"]["id"], NO, note=note)
        view = await harness.end_of("r1")
        assert await approvals(harness) == [("consumed", "rejected")]
        steps = await harness.records.select("SELECT state FROM journal WHERE kind = 'tool'")
        check_each_event_once(await harness.stored("r1"))
    assert view.output is not None
    (call,) = view.output.tools
    assert (call.result, call.is_error, desk.paid, steps) == (said, True, {}, [{"state": "failed"}])


async def test_two_members_are_decided_in_two_rounds(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as harness:
        one, two = waiting(await harness.run(BOTH, "r1"))
        await decide(harness, two["id"])
        (left,) = waiting(await harness.end_of("r1"))
        assert (left, desk.paid) == (one, {2: 1})
        assert await approvals(harness) == [("pending", "pending"), ("consumed", "approved")]
        await decide(harness, one["id"], NO, note="no")
        view = await harness.end_of("r1")
        check_each_event_once(await harness.stored("r1"))
    assert (content(view), desk.paid) == ('completed: Done: Done: {"error":"no"} | Done: paid 2', {2: 1})


async def test_a_second_call_pauses_again(engines: Engines, desk: Desk, model: HeldModel) -> None:
    message = '[[DELEGATE one: <TOOL pay {"n": 1}>]] [[TOOL pay {"n": 2}]]'
    async with engines(teams=[desk.team()]) as harness:
        requirements = waiting(await harness.run(message, "r1"))
        for one in requirements:
            await decide(harness, one["id"])
            await harness.end_of("r1")
        view = await harness.end_of("r1")
        check_each_event_once(await harness.stored("r1"))
    assert (view.row.state, desk.paid) == (RunState.COMPLETED, {1: 1, 2: 1})


async def test_others_go_on_meanwhile(
    engines: Engines, desk: Desk, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(events_of_runs, "last_pause")  # not searched for in a run that has never paused
    hold = model.hold("[[WORDS 4]]")
    async with engines(teams=[desk.team()]) as harness:
        await harness.start('[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <WORDS 4>]]', "r1")
        await hold.reached.wait()
        index = await harness.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        (paused,) = [event for at, event in await harness.stored("r1") if at == index]
        assert (await harness.records.row("r1")).state is RunState.RUNNING
        await decide(harness, paused.data["requirements"][0]["id"])
        hold.release()
        view = await harness.end_of("r1")
        events = await harness.stored("r1")
    assert (view.row.state, view.row.attempt, desk.paid) == (RunState.COMPLETED, 1, {1: 1})
    assert EventKind.RUN_PAUSED not in {event.kind for _, event in events if event.run_id == "r1"}
    check_each_event_once(events)


async def test_a_member_goes_on_after_each_of_its_pauses_in_one_attempt(
    engines: Engines, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = attempt_execution.settle

    async def decide_first(attempt: Any, result: Any) -> Any:
        if result.requirements:
            await decide(harness, result.requirements[0].id)
        return await settle(attempt, result)

    monkeypatch.setattr(attempt_execution, "settle", decide_first)
    async with engines(teams=[desk.team()]) as harness:
        view = await harness.run('[[DELEGATE one: <TOOL pay {"n": 1}> <TOOL pay {"n": 2}>]]', "r1")
        (member,) = await harness.members("r1")
        events = [event for _, event in await harness.stored("r1") if event.run_id == member.row.run_id]
    assert (view.row.state, view.row.attempt, desk.paid) == (RunState.COMPLETED, 1, {1: 1, 2: 1})
    kinds = [event.kind for event in events if event.kind in (EventKind.RUN_PAUSED, EventKind.RUN_CONTINUED)]
    assert kinds == [EventKind.RUN_PAUSED, EventKind.RUN_CONTINUED] * 2


async def test_wrong_arguments_are_refused_to_the_model_before_a_person_is_asked(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as harness:
        view = await harness.run('[[TOOL pay {"n": "many"}]]', "r1")
        assert await approvals(harness) == []
    assert view.row.state is RunState.COMPLETED
    assert "Wrong arguments for pay" in content(view)


async def test_a_call_over_the_limit_is_refused_before_a_person_is_asked(engines: Engines, desk: Desk) -> None:
    team = desk.team()
    limited = Agent(id="solo", model=desk.model, tools=team.tools, tool_call_limit=1)
    async with engines(agents=[limited]) as harness:
        (requirement,) = waiting(await harness.run('[[TOOL pay {"n": 1}]] [[TOOL pay {"n": 2}]]', "r1"))
        assert requirement["tool"]["args"] == {"n": 1}
        await decide(harness, requirement["id"])
        view = await harness.end_of("r1")
    assert "The limit of 1 tool calls is reached" in content(view)


# --- crashes -----------------------------------------------------------------------------------------------


async def test_a_decision_that_the_loop_never_acts_on_does_not_use_up_the_processor(
    engines: Engines, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, refusals, waits = pauses.pause, 8, list[float]()

    async def refuse(*args: Any) -> Settled:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise pauses.DecisionStored
        return await pause(*args)

    class Clock:
        monotonic = staticmethod(clock.monotonic)

        @staticmethod
        async def sleep(seconds: float) -> None:
            waits.append(seconds)

    monkeypatch.setattr(pauses, "pause", refuse)
    monkeypatch.setattr(attempt_execution, "clock", Clock)
    monkeypatch.setattr(attempt_execution, "SHORT_DRIVE_SECONDS", 60.0)
    async with engines(teams=[desk.team()]) as harness:
        (requirement,) = waiting(await harness.run(LEADERS, "r1"))
        assert waits == [0.02, 0.04, 0.08]
        await decide(harness, requirement["id"])
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_decision_outlives_the_worker_that_did_not_act_on_it(engines: Engines, desk: Desk) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        one, two = waiting(await first.run(BOTH, "r1"))
        first.engine.wake = lambda: None  # type: ignore[method-assign]
        assert (await decide(first, one["id"])).state is RunState.READY
        assert (await decide(first, two["id"], NO)).state is RunState.READY, "it need not be paused to be decided"
        await first.kill()
    async with engines(teams=teams) as second:
        view = await second.end_of("r1")
        check_each_event_once(await second.stored("r1"))
    assert (view.row.state, view.row.attempt, desk.paid) == (RunState.COMPLETED, 2, {1: 1})


@pytest.mark.parametrize("message", [LEADERS, MEMBERS])
async def test_a_call_that_is_cut_off_behind_its_approval_is_a_question_anew(
    engines: Engines, desk: Desk, message: str
) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(message, "r1"))
        desk.is_hanging = True
        await decide(first, requirement["id"])
        await desk.has_hung.wait()
        await first.kill()
        desk.is_hanging = False
    async with engines(teams=teams) as second:
        (again,) = waiting(await second.end_of("r1"))
        assert (again["kind"], again["tool"]["args"]) == ("unknown_outcome", {"n": 1})
        assert again["id"] != requirement["id"]
        assert await approvals(second) == [("consumed", "approved"), ("pending", "pending")]
        await decide(second, requirement["id"])
        (still,) = waiting(await second.end_of("r1"))
        assert still == again, "the old decision says nothing about it"
        await decide(second, again["id"], Verdict.HAPPENED, result="receipt")
        view = await second.end_of("r1")
        check_each_event_once(await second.stored("r1"))
    assert (view.row.state, desk.paid, len(desk.keys)) == (RunState.COMPLETED, {1: 1}, 1)


async def test_a_confirmed_call_whose_time_is_over_is_a_question_anew(
    engines: Engines, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.times, desk.is_hanging = CallTimes(monkeypatch), True
    async with engines(teams=[desk.team(timeout_seconds=60)]) as harness:
        (requirement,) = waiting(await harness.run(LEADERS, "r1"))
        await decide(harness, requirement["id"])
        (question,) = waiting(await harness.end_of("r1"))
        assert (question["kind"], desk.paid) == ("unknown_outcome", {1: 1}), "the approval was for one call"
        assert question["id"] != requirement["id"]
        desk.is_hanging = False
        await decide(harness, question["id"])
        view = await harness.end_of("r1")
        assert await approvals(harness) == [("consumed", "approved"), ("consumed", "approved")]
    assert (content(view), desk.paid) == ("completed: Done: paid 1", {1: 2})
    assert len(desk.keys) == 1, "the same idempotency key"


async def test_a_confirmed_call_whose_time_is_over_has_failed_if_the_team_says_so(
    engines: Engines, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.times, desk.is_hanging = CallTimes(monkeypatch), True
    team = replace(desk.team(timeout_seconds=60), on_unknown_effect="fail")
    async with engines(teams=[team]) as harness:
        (requirement,) = waiting(await harness.run(LEADERS, "r1"))
        await decide(harness, requirement["id"])
        view = await harness.end_of("r1")
    assert "No result after 60 s; its outcome is unknown." in content(view)
    assert (view.row.state, desk.paid) == (RunState.COMPLETED, {1: 1})


async def test_a_call_that_may_be_made_again_is_not_asked_about_twice(engines: Engines, desk: Desk) -> None:
    teams = [desk.team(retry_safe=True)]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(LEADERS, "r1"))
        desk.is_hanging = True
        await decide(first, requirement["id"])
        await desk.has_hung.wait()
        await first.kill()
        desk.is_hanging = False
    async with engines(teams=teams) as second:
        view = await second.end_of("r1")
    assert (content(view), desk.paid, len(desk.keys)) == ("completed: Done: paid 1", {1: 2}, 1)


async def test_a_worker_that_dies_while_others_wait_asks_the_same(
    engines: Engines, desk: Desk, model: HeldModel
) -> None:
    teams = [desk.team()]
    hold = model.hold("[[WORDS 4]]", after=1)
    async with engines(teams=teams) as first:
        await first.start('[[DELEGATE one: <TOOL pay {"n": 1}> || DELEGATE one: <WORDS 4>]]', "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        before = await first.records.select("SELECT id FROM approvals")
        await first.kill()
    hold.release()
    async with engines(teams=teams) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        assert [{"id": requirement["id"]}] == before
        await decide(second, requirement["id"])
        view = await second.end_of("r1")
        check_each_event_once(await second.stored("r1"))
    assert (view.row.state, desk.paid) == (RunState.COMPLETED, {1: 1})


async def test_a_deploy_that_asks_no_more_does_not_take_back_the_question(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as first:
        (requirement,) = waiting(await first.run(LEADERS, "r1"))
    async with engines(teams=[desk.team(requires_confirmation=False)]) as second:
        await decide(second, requirement["id"], NO, note="no")
        view = await second.end_of("r1")
    assert (content(view), desk.paid) == ('completed: Done: {"error":"no"}', {})


@pytest.mark.parametrize("message", [LEADERS, MEMBERS])
async def test_a_call_is_confirmed_with_other_arguments(engines: Engines, desk: Desk, message: str) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(message, "r1"))
    async with engines(teams=teams) as second:
        await decide(second, requirement["id"], values={"n": 7})
        run = await decide(second, requirement["id"], values={"n": 7})
        assert run.run_id == "r1", "the same decision again"
        with pytest.raises(Conflict):
            await decide(second, requirement["id"], values={"n": 8})
        view = await second.end_of("r1")
        stored = await second.stored("r1")
        check_each_event_once(stored)
    assert (view.row.state, desk.paid) == (RunState.COMPLETED, {7: 1})
    arguments = [event.data["tool"]["args"] for _, event in stored if event.data.get("tool", {}).get("name") == "pay"]
    assert arguments == [{"n": 7}] * 2
    assert content(view).endswith('Done: A person changed the arguments of this call: {"n":7}\npaid 7')


async def die_in_the_call(harness: EngineHarness, desk: Desk) -> None:
    """Have a person give the call its arguments, and kill the process while it is made."""
    (requirement,) = waiting(await harness.run(LEADERS, "r1"))
    desk.is_hanging = True
    await decide(harness, requirement["id"], values={"n": 7})
    await desk.has_hung.wait()
    await harness.kill()


async def test_changed_arguments_outlive_crashes_and_a_question_about_the_outcome(engines: Engines, desk: Desk) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        await die_in_the_call(first, desk)
    async with engines(teams=teams) as second:
        (again,) = waiting(await second.end_of("r1"))
        assert (again["kind"], again["tool"]["args"]) == ("unknown_outcome", {"n": 7})
        with pytest.raises(InvalidInput, match="can no longer be changed"):
            await decide(second, again["id"], values={"n": 8})
        desk.is_hanging = False
        await decide(second, again["id"])
        view = await second.end_of("r1")
    assert (desk.paid, len(desk.keys)) == ({7: 2}, 1)
    assert content(view) == 'completed: Done: A person changed the arguments of this call: {"n":7}\npaid 7'


# --- a person's input --------------------------------------------------------------------------------------

BOOK = '[[DELEGATE one: <TOOL book {"city": "Rome"}>]]'


async def test_a_person_gives_arguments(engines: Engines, desk: Desk) -> None:
    teams = [desk.team()]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(BOOK, "r1"))
        described = {one["name"]: (one["field_type"], one["value"]) for one in requirement["fields"]}
        assert described == {"city": ("str", "Rome"), "nights": ("int", None), "room": ("str", None)}
    async with engines(teams=teams) as second:
        await decide(second, requirement["id"], values={"nights": 2, "room": "double"})
        view = await second.end_of("r1")
        (member,) = await second.members("r1")
        check_each_event_once(await second.stored("r1"))
    assert (view.row.state, desk.booked) == (RunState.COMPLETED, [("Rome", 2, "double")])
    assert member.output is not None
    (call,) = member.output.tools
    assert (call.args, call.result) == (
        {"city": "Rome", "nights": 2, "room": "double"},
        "2 nights in Rome, double",
    )


@pytest.mark.parametrize(
    "said, problem",
    [
        ({"values": {"room": "double"}}, "book needs a value for nights"),
        ({"values": {"nights": "two"}}, 'nights: "two" is not of type "integer"'),
        ({"values": {"nights": 2, "room": "suite"}}, "room: "),
        ({"values": {"nights": 2, "stars": 5}}, "book has no field stars; it has city, nights, room"),
        ({"verdict": Verdict.HAPPENED, "result": "done"}, "book runs on the server"),
    ],
)
async def test_input_that_is_not_complete_changes_nothing(
    engines: Engines, desk: Desk, said: dict[str, Any], problem: str
) -> None:
    async with engines(teams=[desk.team()]) as harness:
        (requirement,) = waiting(await harness.run(BOOK, "r1"))
        before = await harness.records.everything()
        with pytest.raises(InvalidInput, match=problem):
            await decide(harness, requirement["id"], **said)
        assert await harness.records.everything() == before
        run = await decide(harness, requirement["id"], values={"city": "Rome"}, is_explicit=False)
        assert run.state is RunState.PAUSED, "what was shown, sent back: nobody has decided"
        await decide(harness, requirement["id"], NO)
        await harness.end_of("r1")
    assert desk.booked == []


async def test_a_field_that_the_model_is_not_told_of_cannot_be_given_by_it(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as harness:
        view = await harness.run('[[TOOL book {"city": "Rome", "nights": 3}]]', "r1")
    assert "nights: unknown argument" in content(view)


async def test_given_arguments_outlive_a_crash_behind_the_decision(engines: Engines, desk: Desk) -> None:
    teams = [desk.team(requires_confirmation=False, requires_user_input=True)]
    async with engines(teams=teams) as first:
        await die_in_the_call(first, desk)
    async with engines(teams=teams) as second:
        (again,) = waiting(await second.end_of("r1"))
        assert (again["kind"], again["tool"]["args"]) == ("unknown_outcome", {"n": 7})
        desk.has_hung.clear()
        await decide(second, again["id"])
        await desk.has_hung.wait()
        await second.kill()
        desk.is_hanging = False
    async with engines(teams=teams) as third:
        (last,) = waiting(await third.end_of("r1"))
        await decide(third, last["id"])
        view = await third.end_of("r1")
    assert (content(view), desk.paid, len(desk.keys)) == ("completed: Done: paid 7", {7: 3}, 1)


# --- done elsewhere ----------------------------------------------------------------------------------------


async def test_a_client_does_it_and_says_what_came_of_it(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as harness:
        (requirement,) = waiting(await harness.run('[[DELEGATE one: <TOOL mail {"to": "Ana"}>]]', "r1"))
        with pytest.raises(InvalidInput, match="mail runs outside the server"):
            await decide(harness, requirement["id"])
        await decide(harness, requirement["id"], Verdict.HAPPENED, result="sent to Ana")
        view = await harness.end_of("r1")
        check_each_event_once(await harness.stored("r1"))
        assert await approvals(harness) == [("consumed", "approved")]
    assert content(view) == "completed: Done: Done: sent to Ana"


# --- ends --------------------------------------------------------------------------------------------------


async def test_a_cancelled_run_leaves_nothing_open(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team()]) as harness:
        one, _ = waiting(await harness.run(BOTH, "r1"))
        await harness.cancel("r1")
        assert (await harness.end_of("r1")).row.state is RunState.CANCELLED
        assert await approvals(harness) == [("closed", "cancelled")] * 2
        states = await harness.records.select("SELECT state FROM journal WHERE kind = 'tool'")
        assert {row["state"] for row in states} == {"failed"}
        with pytest.raises(Conflict):
            await decide(harness, one["id"])
    assert desk.paid == {}


@asynccontextmanager
async def expiring(engines: Engines, desk: Desk, **flags: Any) -> AsyncIterator[EngineHarness]:
    """A run that was paused, and whose time is over."""
    flags = {"decide_within_seconds": 0.001, **flags}
    async with engines(teams=[desk.team(**flags)], upkeep_seconds=0.02) as harness:
        await harness.start(flags.pop("message", MEMBERS), "r1")
        yield harness


@pytest.mark.parametrize("default, said, paid", [("approve", "paid 1", {1: 1}), ("reject", "no decision arrived", {})])
async def test_a_declared_decision_counts_where_nobody_decides(
    engines: Engines, desk: Desk, default: str, said: str, paid: dict[int, int]
) -> None:
    async with expiring(engines, desk, default_decision=default) as harness:
        await read_all(harness.runs.subscribe("r1"), is_new=False)
        view = await harness.end_of("r1")
        (row,) = await harness.records.select("SELECT status, decided_by FROM approvals")
        check_each_event_once(await harness.stored("r1"))
    assert said in content(view)
    assert (desk.paid, row["decided_by"]) == (paid, "expiry")
    assert row["status"] == ("approved" if default == "approve" else "rejected")


async def test_without_one_the_run_ends(engines: Engines, desk: Desk) -> None:
    async with expiring(engines, desk) as harness:
        await read_all(harness.runs.subscribe("r1"), is_new=False)
        view = await harness.end_of("r1")
        assert await approvals(harness) == [("closed", "expired")]
    assert view.output is not None
    assert view.output.error is not None
    assert (view.row.state, view.output.error["code"], desk.paid) == (RunState.ERROR, "expired", {})


async def test_the_servers_own_limit_takes_the_declared_decision_too(engines: Engines, desk: Desk) -> None:
    teams = [desk.team(default_decision="approve")]
    async with engines(teams=teams, upkeep_seconds=0.02, pause_seconds=0.01) as harness:
        await harness.start(LEADERS, "r1")
        await read_all(harness.runs.subscribe("r1"), is_new=False)
        assert await approvals(harness) == [("consumed", "approved")]
    assert desk.paid == {1: 1}


async def test_the_servers_own_limit_leaves_a_decision_the_time_that_its_tool_declares(
    engines: Engines, desk: Desk
) -> None:
    teams = [desk.team(decide_within_seconds=3600, default_decision="approve")]
    async with engines(teams=teams, pause_seconds=0.01) as harness:
        view = await harness.run(LEADERS, "r1")
        (requirement,) = waiting(view)
        (row,) = await harness.records.select("SELECT expires_at FROM runs WHERE run_id = 'r1'")
        assert row["expires_at"] == requirement["expires_at"] > clock.now() + 1800


async def test_a_call_that_needs_approval_is_not_decided_by_the_runs_client(engines: Engines, desk: Desk) -> None:
    async with engines(teams=[desk.team(requires_confirmation=False, approval="required")]) as harness:
        (requirement,) = waiting(await harness.run(MEMBERS, "r1"))
        assert (requirement["kind"], requirement["approval_type"]) == ("confirmation", "required")
        before = await harness.records.everything()
        with pytest.raises(Forbidden, match=f"pay needs approval; decide it at POST /approvals/{requirement['id']}"):
            await decide(harness, requirement["id"])
        assert await harness.records.everything() == before


async def test_to_be_made_again_it_needs_approval_again(engines: Engines, desk: Desk) -> None:
    teams = [desk.team(approval="required")]
    approved = Resolution(is_approved=True, by="ana")
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(MEMBERS, "r1"))
        desk.is_hanging = True
        await first.server.approvals.resolve(requirement["id"], approved, NOBODY)
        await desk.has_hung.wait()
        await first.kill()
        desk.is_hanging = False
    async with engines(teams=teams) as second:
        (again,) = waiting(await second.end_of("r1"))
        with pytest.raises(Forbidden):
            await decide(second, again["id"])
        with pytest.raises(Conflict, match="already 'approved' by ana"):
            await second.server.approvals.resolve(requirement["id"], approved, NOBODY)
        await second.server.approvals.resolve(again["id"], approved, NOBODY)
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
    assert (desk.paid, len(desk.keys)) == ({1: 2}, 1)


@pytest.mark.parametrize(
    "mode, message",
    [("broadcast", '[[BROADCAST <TOOL pay {"n": 1}>]]'), ("route", MEMBERS)],
)
async def test_members_of_every_mode_wait(engines: Engines, desk: Desk, mode: Any, message: str) -> None:
    tools = desk.team().tools
    members = [Agent(id=name, name=name, tools=tools) for name in (["one"] if mode == "route" else ["one", "two"])]
    async with engines(teams=[Team(id="team", name="Team", model=desk.model, members=members, mode=mode)]) as harness:
        requirements = waiting(await harness.run(message, "r1"))
        assert len(requirements) == len(members)
        for one in requirements:
            await decide(harness, one["id"])
            await harness.end_of("r1")
        view = await harness.end_of("r1")
        check_each_event_once(await harness.stored("r1"))
    assert (view.row.state, desk.paid, len(desk.keys)) == (RunState.COMPLETED, {1: len(members)}, len(members))


# --- the model asks ----------------------------------------------------------------------------------------

WANTS = {"user_input_fields": [{"field_name": "age", "field_type": "int", "field_description": "In years"}]}
CHOICE = {"question": "Which one?", "header": "One", "options": [{"label": "red"}, {"label": "blue"}]}


@pytest.mark.parametrize(
    "call, answers, wrong, result",
    [
        (f"get_user_input {json.dumps(WANTS)}", {"age": 7}, {"age": "old"}, 'retrieved: [{"name": "age", "value": 7}]'),
        (
            f"ask_user {json.dumps({'questions': [CHOICE]})}",
            {"Which one?": ["blue"]},
            {"Which one?": ["red", "blue"]},
            'received: [{"question": "Which one?", "selected": ["blue"]}]',
        ),
    ],
    ids=["values", "options"],
)
async def test_a_model_asks_the_user(
    engines: Engines, model: HeldModel, call: str, answers: dict[str, Any], wrong: dict[str, Any], result: str
) -> None:
    one = Agent(id="one", name="One", tools=[get_user_input, ask_user])
    teams = [Team(id="team", name="Team", model=model, members=[one], tools=[get_user_input, ask_user])]
    async with engines(teams=teams) as first:
        (requirement,) = waiting(await first.run(f"[[TOOL {call}]]", "r1"))
        assert requirement["kind"] == "user_input"
        assert [field["name"] for field in requirement["fields"]] == list(answers)
        with pytest.raises(InvalidInput):
            await decide(first, requirement["id"], values=wrong)
        with pytest.raises(InvalidInput, match="needs a value for"):
            await decide(first, requirement["id"])
    async with engines(teams=teams) as second:
        await decide(second, requirement["id"], values=answers)
        view = await second.end_of("r1")
        check_each_event_once(await second.stored("r1"))
    assert result in content(view)


async def test_a_question_without_options_is_refused_to_the_model(engines: Engines, model: HeldModel) -> None:
    arguments = {"questions": [{"question": "Which one?", "options": []}]}
    async with engines(agents=[Agent(id="solo", model=model, tools=[ask_user])]) as harness:
        view = await harness.run(f"[[TOOL ask_user {json.dumps(arguments)}]]", "r1")
    assert "Wrong arguments for ask_user. questions.0.options" in content(view)
