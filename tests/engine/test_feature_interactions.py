"""Where features meet, under crash, pause and cancel."""

import asyncio
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage

from musterd import Agent, Budget, CompressionManager, Team, tool
from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.guards import PIIDetectionGuardrail
from musterd.service.run_ref import RunRef
from musterd.store import steering
from tests.engine.conftest import Engines
from tests.engine.test_budgets import A_CALL, code_of
from tests.engine.test_run_forks import Down, fork
from tests.engine.test_steering import member_of, send, sent_to, users_words
from tests.support.engine import NOBODY
from tests.support.held_model import HeldModel
from tests.support.loop import Call, TurnModel, failure
from tests.support.store import of_run
from tests.support.time_limits import RunTimes
from tests.unit.loop.test_loop import delegate


async def test_who_is_stopped_from_elsewhere_while_it_waits_is_stopped_before_the_run_goes_on(
    engines: Engines, model: HeldModel
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        raise AssertionError("nobody has agreed")

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await go_on.wait()
        return "waited"

    members = [Agent(id="one", tools=[pay]), Agent(id="two", tools=[wait])]
    async with engines(teams=[Team(id="team", model=model, members=members)]) as harness:
        await harness.start("[[DELEGATE one: <TOOL pay> || DELEGATE two: <TOOL wait>]]", "r1")
        await began.wait()
        await harness.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        one = next(view.row for view in await harness.members("r1") if view.row.component_id == "one")
        # As another process does: nobody here is told.
        await harness.database.write(of_run(steering.cancel_member, "r1", one.run_id, "client", clock.now()))
        go_on.set()
        view = await harness.end_of("r1")
        steps = await harness.records.select("SELECT path, state FROM journal WHERE state IN ('waiting', 'started')")
    said = 'Done: {"error":"one was cancelled by a person."} | Done: waited'
    assert (view.row.state, view.output and view.output.content) == (RunState.COMPLETED, said)
    assert steps == []


async def test_a_call_that_was_agreed_to_is_not_left_open_where_its_member_is_stopped(
    engines: Engines, model: HeldModel
) -> None:
    began = asyncio.Event()

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    async with engines(teams=[Team(id="team", model=model, members=[Agent(id="one", tools=[pay])])]) as harness:
        paused = await harness.run("[[DELEGATE one: <TOOL pay>]]", "r1")
        assert paused.output is not None
        agreed = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.RUN)
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [agreed])
        await began.wait()
        await harness.cancel((await member_of(harness, "r1")).row.run_id)
        view = await harness.end_of("r1")
        steps = await harness.records.select("SELECT path, state FROM journal WHERE kind = 'tool'")
    assert view.row.state is RunState.COMPLETED
    assert steps == [{"path": "t0/c0/t0/c0", "state": "unknown"}]


async def test_a_summary_that_the_budget_has_no_room_for_leaves_the_answer(engines: Engines, model: HeldModel) -> None:
    agent = Agent(id="solo", model=model, enable_session_summaries=True, budget=Budget(tokens=A_CALL + 5))
    async with engines(agents=[agent]) as harness:
        view = await harness.run("[[SAY yes]]", "r1")
    assert (code_of(view), view.output and view.output.content) == ("completed", "yes")


async def test_a_result_that_the_budget_has_no_room_to_shorten_is_read_in_full(
    engines: Engines, model: HeldModel
) -> None:
    @tool(retry_safe=True)
    async def read() -> str:
        """Read."""
        return "x" * 1600

    short = CompressionManager(compress_tool_results_limit=1, compress_tool_call_instructions="y" * 4000)
    agent = Agent(
        id="solo",
        model=model,
        tools=[read],
        compress_tool_results=True,
        compression_manager=short,
        budget=Budget(tokens=800),
    )
    async with engines(agents=[agent]) as harness:
        view = await harness.run("[[TOOL read]]", "r1")
    assert code_of(view) == "completed"
    assert "x" * 1600 in str(view.output and view.output.content)


async def test_a_member_that_a_function_gives_is_held_to_its_budget(engines: Engines, model: HeldModel) -> None:
    def experts() -> list[Agent]:
        return [Agent(id="one", budget=Budget(tokens=1))]

    async with engines(teams=[Team(id="team", model=model, members=experts)]) as harness:
        view = await harness.run("[[DELEGATE one: hello everybody]]", "r1")
    assert "budget" in str(view.output and view.output.content)


async def test_the_run_that_a_late_message_begins_is_held_to_the_same_budget(
    engines: Engines, model: HeldModel
) -> None:
    async with engines() as harness:
        hold = model.hold("slow")
        await harness.start("slow", "r1", options={"budget": {"tokens": 40}})
        await hold.reached.wait()
        await send(harness, "r1", "x" * 400)
        hold.release()
        await harness.end_of("r1")
        (message,) = await sent_to(harness, "r1")
        view = await harness.end_of(message.next_run_id or "")
    assert code_of(view) == "budget_tokens"


async def test_a_text_that_is_told_whole_is_told_once(engines: Engines, model: HeldModel) -> None:
    members = [Agent(id="one"), Agent(id="two")]
    team = Team(id="team", mode="route", model=model, members=members, enable_session_summaries=True)
    hold = model.hold("Provide the summary")
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE one: hello || DELEGATE two: hello]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT and event.run_id == "r1")
        await first.kill()
        hold.release()
    async with engines(teams=[team]) as second:
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
        events = await second.stored("r1")
    texts = [event.data["text"] for _, event in events if event.kind is EventKind.CONTENT and event.run_id == "r1"]
    assert texts == ["Echo: hello\n\nEcho: hello"]


async def test_a_fork_knows_what_a_person_gave_for_a_call_of_the_failed_run(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, times = Down(), RunTimes(monkeypatch)
    booked: list[int] = []

    @tool(user_input_fields=["nights"])
    async def book(city: str, nights: int) -> str:
        """Book."""
        booked.append(nights)
        if len(booked) == 1:
            times.end()
            await asyncio.Event().wait()
        return f"{nights} nights in {city}"

    async def decide(run_id: str, **said: Any) -> RunView:
        view = await harness.end_of(run_id)
        assert view.output is not None
        decision = Decision(key=view.output.requirements[0]["id"], verdict=Verdict.RUN, **said)
        await harness.runs.decide(RunRef(harness.component(), run_id, "s1", NOBODY), [decision])
        while (view := await harness.end_of(run_id)).row.state is RunState.PAUSED:
            pass
        return view

    team = Team(id="team", model=model, members=[Agent(id="one", tools=[book])], budget=Budget(seconds=60))
    async with engines(teams=[team]) as harness:
        await harness.run('[[DELEGATE one: <TOOL book {"city": "Bern"}>]]', "r1")
        assert (await decide("r1", values={"nights": 2})).row.error_code == "budget_seconds"
    async with engines(teams=[team]) as harness:
        model.down_from = len(model.calls)
        await fork(harness)
        assert (await decide("r2")).row.state is RunState.ERROR, "made once more, and the model behind it is down"
        model.down_from = None
        await fork(harness, "r2", "r3")
        view = await harness.end_of("r3")
        (member,) = await harness.members("r3")
    assert booked == [2, 2]
    assert (view.output and view.output.content) == "Done: Done: 2 nights in Bern"
    assert member.output is not None
    assert [call.args for call in member.output.tools] == [{"city": "Bern", "nights": 2}]


async def test_members_are_told_of_earlier_runs_what_the_teams_hooks_let_through(
    engines: Engines, model: HeldModel
) -> None:
    team = Team(
        id="team",
        model=model,
        members=[Agent(id="one")],
        add_team_history_to_members=True,
        pre_hooks=[PIIDetectionGuardrail(mask_pii=True)],
    )
    async with engines(teams=[team]) as harness:
        await harness.run("Write to ada@example.com", "r1")
        await harness.run("[[DELEGATE one: hello]]", "r2")
    context = str(model.conversation(-2))
    assert "Write to" in context
    assert "ada@example.com" not in context


@pytest.mark.parametrize("is_killed", [False, True])
async def test_all_that_a_routed_member_said_is_void_when_it_fails_and_no_more(
    engines: Engines, is_killed: bool
) -> None:
    began = asyncio.Event()

    @tool(retry_safe=True)
    async def look() -> str:
        """Look."""
        if is_killed and not began.is_set():
            began.set()
            await asyncio.Event().wait()
        return "seen"

    leader = TurnModel(["I ask one. ", delegate("one")], "Sorry")
    member = TurnModel(["Let me look. ", Call("look")], ["Half an ", failure(400)])
    agents = [Agent(id="one", model=member, tools=[look])]
    team = Team(id="team", mode="route", model=leader, members=agents)
    async with engines(teams=[team]) as first:
        await first.start("hello", "r1")
        if is_killed:
            await began.wait()
            await first.kill()
        else:
            await first.end_of("r1")
    async with engines(teams=[team]) as second:
        await second.end_of("r1")
        events = await second.stored("r1")
    said: list[tuple[int, str]] = []
    for index, event in events:
        if event.kind is EventKind.CONTENT and event.run_id == "r1":
            said.append((index, event.data["text"]))
        for item in event.data.get("superseded", ()):
            said = [one for one in said if one[0] < item["from_event_index"]]
    assert "".join(text for _, text in said) == "I ask one. Sorry"


async def test_what_a_turn_has_heard_stands_when_the_same_attempt_drives_again(
    engines: Engines, model: HeldModel
) -> None:
    begun = {"first": asyncio.Event(), "second": asyncio.Event()}
    go_on = {"first": asyncio.Event(), "second": asyncio.Event()}

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    @tool
    async def wait(which: str) -> str:
        """Wait."""
        begun[which].set()
        await go_on[which].wait()
        return "waited"

    async with engines(agents=[Agent(id="solo", model=model, tools=[pay, wait])]) as harness:
        await harness.start('[[TOOL wait {"which": "first"}]]', "r1")
        await begun["first"].wait()
        await send(harness, "r1", '[[TOOL pay]] [[TOOL wait {"which": "second"}]]')
        go_on["first"].set()
        await begun["second"].wait()
        (row,) = await harness.records.select("SELECT id FROM approvals")
        agreed = Decision(key=row["id"], verdict=Verdict.RUN)
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [agreed])
        go_on["second"].set()
        view = await harness.end_of("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 1)
    assert len(users_words(model.conversation())) == 2, "what was asked, and what was said meanwhile"


async def test_what_nobody_has_read_when_a_pause_expires_begins_the_next_run(
    engines: Engines, model: HeldModel
) -> None:
    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    agents = [Agent(id="solo", model=model, tools=[pay])]
    async with engines(agents=agents, upkeep_seconds=0.02) as harness:
        assert (await harness.run("[[TOOL pay]]", "r1")).row.state is RunState.PAUSED
        await send(harness, "r1", "Well?")
        await harness.records.execute("UPDATE runs SET expires_at = 1")
        while (view := await harness.end_of("r1")).row.state is RunState.PAUSED:
            await harness.stored_so_far()
        (message,) = await sent_to(harness, "r1")
        following = await harness.end_of(message.next_run_id or "")
    assert view.row.error_code == "expired"
    assert (following.output and following.output.content) == "Echo: Well?"


async def test_of_several_that_were_asked_at_once_a_fork_asks_who_failed_again(engines: Engines) -> None:
    leader = TurnModel(Call("delegate_task_to_members", {"task": "Look"}), failure(402), "All said")
    one, two = TurnModel("A1"), TurnModel(failure(402), "B1")
    members = [Agent(id="one", model=one), Agent(id="two", model=two)]
    async with engines(teams=[Team(id="team", mode="broadcast", model=leader, members=members)]) as harness:
        assert (await harness.run("hello", "r1")).row.state is RunState.ERROR
        await fork(harness)
        view = await harness.end_of("r2")
    assert view.row.state is RunState.COMPLETED
    assert leader.tool_results() == ["Agent one: A1\n\nAgent two: B1"]
    assert len(one.seen) == 1


async def test_a_result_that_is_shown_is_told_where_a_person_gives_it(engines: Engines, model: HeldModel) -> None:
    @tool(external_execution=True, show_result=True)
    async def mail() -> str:
        """Send a mail."""
        raise AssertionError("the client does it")

    async with engines(agents=[Agent(id="solo", model=model, tools=[mail])]) as harness:
        paused = await harness.run("[[TOOL mail]]", "r1")
        assert paused.output is not None
        happened = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.HAPPENED, result="sent")
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [happened])
        while (view := await harness.end_of("r1")).row.state is RunState.PAUSED:
            pass
        events = await harness.stored("r1")
    text = "".join(event.data["text"] for _, event in events if event.kind is EventKind.CONTENT)
    assert text == (view.output and view.output.content)


async def test_nobody_is_asked_any_more_for_a_member_whose_team_has_failed(engines: Engines) -> None:
    go_on = asyncio.Event()

    class Later(TurnModel):
        async def _stream(self, messages: list[ModelMessage], info: Any) -> Any:
            await go_on.wait()
            async for piece in super()._stream(messages, info):
                yield piece

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    @tool
    async def mark() -> str:
        """Mark."""
        return "marked"

    below = [
        Agent(id="x", model=TurnModel(Call("pay")), tools=[pay]),
        Agent(id="y", model=Later(Call("mark")), tools=[mark]),
    ]
    inner_model = TurnModel([delegate("x"), delegate("y")])
    inner = Team(id="inner", model=inner_model, members=below, budget=Budget(tool_calls=3))
    other = Agent(id="other", model=TurnModel(Call("pay"), "Done"), tools=[pay])
    leader = TurnModel([delegate("inner"), delegate("other")], "Well")
    async with engines(teams=[Team(id="team", model=leader, members=[inner, other])]) as harness:
        await harness.start("hello", "r1")
        await harness.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_PAUSED)
        go_on.set()
        view = await harness.end_of("r1")
        approvals = await harness.records.select("SELECT path, state FROM approvals ORDER BY path")
        steps = await harness.records.select("SELECT path FROM journal WHERE state = 'waiting'")
        rows = await harness.records.select("SELECT path FROM runs WHERE state = 'paused' AND parent_id IS NOT NULL")
    assert view.row.state is RunState.PAUSED
    assert [(row["path"], row["state"]) for row in approvals] == [
        ("t0/c0/t0/c0/t0/c0", "closed"),
        ("t0/c1/t0/c0", "pending"),
    ]
    assert [step["path"] for step in steps] == ["t0/c1/t0/c0"]
    assert [row["path"] for row in rows] == ["t0/c1"]


async def test_a_decision_about_a_member_that_is_gone_keeps_no_run_from_pausing(
    engines: Engines, model: HeldModel
) -> None:
    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    names = {"one", "two"}

    def experts() -> list[Agent]:
        return [Agent(id=name, tools=[pay]) for name in sorted(names)]

    async with engines(teams=[Team(id="team", model=model, members=experts)]) as harness:
        paused = await harness.run("[[DELEGATE one: <TOOL pay> || DELEGATE two: <TOOL pay>]]", "r1")
        assert paused.output is not None
        names.discard("one")
        first = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.RUN)
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [first])
        await harness.wait_for_event(
            "r1", lambda event: event.kind is EventKind.RUN_PAUSED and event.place == "attempt 2"
        )
        rows = {view.row.component_id: view.row.state for view in await harness.members("r1")}
        approvals = await harness.records.select("SELECT state FROM approvals ORDER BY path")
    assert rows == {"one": RunState.CANCELLED, "two": RunState.PAUSED}
    assert [row["state"] for row in approvals] == ["closed", "pending"]
