"""A later attempt goes on after the last stored step, with what the first one took from the world."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core.events import EventKind
from musterd.core.records import RunView
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel

TASKS = 'DELEGATE one: <TOOL mark {"n": 1}> || DELEGATE two: <WORDS 6>'


class Marks:
    """A tool that counts its calls by argument, and waits where the test says so."""

    def __init__(self) -> None:
        self.calls: Counter[int] = Counter()
        self.keys: list[str] = []
        self.states: list[dict[str, Any]] = []
        self.cut_off: set[int] = set()
        self.began = asyncio.Event()

    def tool(self, *, retry_safe: bool = True) -> Any:
        @tool(retry_safe=retry_safe)
        async def mark(n: int, context: ToolContext) -> str:
            """Mark a number."""
            self.calls[n] += 1
            self.keys.append(context.idempotency_key)
            self.states.append(dict(context.session_state))
            if n in self.cut_off:
                self.began.set()
                await asyncio.Event().wait()
            context.session_state[f"n{n}"] = n
            return f"marked {n}"

        return mark


async def killed_in_second_turn(
    harness: EngineHarness, model: HeldModel, message: str, run_id: str = "r1", **options: Any
) -> None:
    """Kill the worker when the leader has read the results of its calls and begins to answer."""
    before = len(model.calls)
    hold = model.hold(message[:20], after=1)
    await harness.start(message, run_id, **options)
    while len(model.calls) - before < 2:
        await hold.reached.wait()
        hold.reached.clear()
        if len(model.calls) - before < 2:
            hold.release()
            hold.released = asyncio.Event()
    await harness.kill()
    hold.release()


def tool_results(view: RunView) -> list[tuple[str, bool | None]]:
    assert view.output is not None
    return [(call.result or "", call.is_error) for call in view.output.tools]


async def test_a_tool_that_is_done_is_not_called_again(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    agents = [Agent(id="solo", model=model, tools=[marks.tool(retry_safe=False)])]
    message = '[[TOOL mark {"n": 1}]]'
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, message)
    assert len(model.calls) == 2
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert marks.calls == {1: 1}
    assert len(model.calls) == 3, "the answer that was cut off, and nothing else"
    assert (view.output and view.output.content) == "Done: marked 1"
    assert (view.output and view.output.session_state) == {"n1": 1}


async def test_a_retry_safe_tool_that_was_cut_off_is_called_again_with_the_same_key(
    engines: Engines, model: HeldModel
) -> None:
    marks = Marks()
    marks.cut_off = {1}
    agents = [Agent(id="solo", model=model, tools=[marks.tool()])]
    async with engines(agents=agents) as first:
        await first.start('[[TOOL mark {"n": 1}]] [[TOOL mark {"n": 2}]]', "r1")
        await marks.began.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.TOOL_CALL_COMPLETED)
        await first.kill()
    marks.cut_off = set()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert tool_results(view) == [("marked 1", False), ("marked 2", False)], "in the order of the calls"
    assert marks.calls == {1: 2, 2: 1}
    assert (len(set(marks.keys)), len(model.calls)) == (2, 2)
    assert (view.output and view.output.session_state) == {"n1": 1, "n2": 2}


async def test_members_at_work_go_on_and_finished_ones_stay(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[marks.tool()]), Agent(id="two")])
    hold = model.hold("[[WORDS 6]]", after=3)
    async with engines(teams=[team]) as first:
        await first.start(f"[[{TASKS}]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event(
            "r1", lambda event: event.kind is EventKind.TOOL_CALL_COMPLETED and event.place == "t0/c0"
        )
        before = {view.row.path: view.row for view in await first.members("r1")}
        await first.kill()
    hold.release()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        members = {member.row.path: member.row for member in await second.members("r1")}
    assert before["t0/c0"] == members["t0/c0"], "it had ended, and nothing touched it"
    assert members["t0/c1"].run_id == before["t0/c1"].run_id
    assert members["t0/c1"].state is RunState.COMPLETED
    assert len(model.calls) == 1 + 2 + 1 + 1 + 1, "leader, one, two, two again, leader"
    assert marks.calls == {1: 1}
    assert view.output is not None
    assert view.output.content == "Done: Done: marked 1 | word0 word1 word2 word3 word4 word5"


async def test_a_nested_delegation_goes_on_where_it_was(engines: Engines, model: HeldModel) -> None:
    inner = Team(id="inner", members=[Agent(id="deep")])
    team = Team(id="team", model=model, members=[inner, Agent(id="two")])
    hold = model.hold("[[SAY deep]]")
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE inner: <DELEGATE deep: <SAY deep>>]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.place == "t0/c0/t0/c0/t0/m")
        await first.kill()
    hold.release()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        steps = await second.records.select("SELECT path, attempt FROM journal WHERE kind <> 'delegate' ORDER BY path")
    assert (view.output and view.output.content) == "Done: Done: deep"
    assert len(model.calls) == 1 + 1 + 2 + 1 + 1
    by_attempt = {attempt: [step["path"] for step in steps if step["attempt"] == attempt] for attempt in (1, 2)}
    assert by_attempt[1] == ["p", "t0/c0/p", "t0/c0/t0/c0/p", "t0/c0/t0/m", "t0/m"]
    assert by_attempt[2] == ["t0/c0/t0/c0/t0/m", "t0/c0/t1/m", "t1/m"]


async def test_what_was_taken_from_the_world_stays(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    options: dict[str, Any] = {"add_history_to_context": True, "tools": [marks.tool()], "model": model}
    old = Agent(id="solo", instructions=["the old way"], **options)
    message = '[[TOOL mark {"n": 1}]]'
    async with engines(agents=[old]) as first:
        await first.run("[[SAY earlier]]", "r0")
        await first.records.execute("""UPDATE sessions SET state = '{"old":1,"both":"old"}'""")
        await killed_in_second_turn(first, model, message)
        await first.records.execute("""UPDATE sessions SET state = '{"new":1,"both":"new"}'""")
        await first.records.execute("UPDATE runs SET state = 'error' WHERE run_id = 'r0'")
    conversation = model.conversation()
    async with engines(agents=[Agent(id="solo", instructions=["the new way"], **options)]) as second:
        view = await second.end_of("r1")
        (session,) = await second.records.select("SELECT state FROM sessions")
    assert model.conversation() == conversation
    assert "the old way" in conversation[0]["content"]
    assert [one["content"] for one in conversation[1:3]] == ["[[SAY earlier]]", "earlier"]
    assert view.output is not None
    assert view.output.session_state == {"old": 1, "both": "old", "n1": 1}
    assert session == {"state": '{"new":1,"both":"new","n1":1}'}, "only what the run changed is merged"


async def test_a_members_state_is_the_first_attempts_too(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    marks.cut_off = {1}
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[marks.tool()])])
    async with engines(teams=[team]) as first:
        await first.run("[[SAY hello]]", "r0")
        await first.records.execute("""UPDATE sessions SET state = '{"a":1}'""")
        await first.start('[[DELEGATE one: <TOOL mark {"n": 1}>]]', "r1")
        await marks.began.wait()
        await first.kill()
        await first.records.execute("""UPDATE sessions SET state = '{"b":1}'""")
    marks.cut_off = set()
    async with engines(teams=[team]) as second:
        await second.end_of("r1")
    assert marks.states == [{"a": 1}, {"a": 1}]


async def test_another_step_under_a_path_ends_the_run(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[marks.tool()])], tools=[marks.tool()])
    messages = {"t0/c0": '[[TOOL mark {"n": 1}]]', "t0/c0/t0/c0": '[[DELEGATE one: <TOOL mark {"n": 1}>]]'}
    for number, (path, message) in enumerate(messages.items()):
        marks.cut_off, marks.began = {1}, asyncio.Event()
        run_id, calls = f"r{number}", marks.calls.total()
        async with engines(teams=[team]) as first:
            await first.start(message, run_id, f"s{number}")
            await marks.began.wait()
            await first.kill()
            await first.records.execute("UPDATE journal SET fingerprint = 'other' WHERE path = :path", path=path)
        marks.cut_off = set()
        async with engines(teams=[team]) as second:
            view = await second.end_of(run_id)
        assert view.row.state is RunState.ERROR
        assert view.output is not None
        assert view.output.error is not None
        assert view.output.error["code"] == "replay_diverged"
        assert f"step {path} " in view.output.error["message"]
        assert marks.calls.total() == calls + 1, "nothing is executed in silence"


async def test_a_step_that_a_newer_program_stored_ends_the_run(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    agents = [Agent(id="solo", model=model, tools=[marks.tool()])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, '[[TOOL mark {"n": 1}]]')
        await first.records.execute("UPDATE journal SET codec = 2, result = '!' WHERE path = 't0/m'")
    calls = len(model.calls)
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.ERROR
    assert view.output is not None
    assert view.output.error is not None
    assert view.output.error["code"] == "replay_diverged"
    assert "step t0/m was stored by a newer musterd" in view.output.error["message"]
    assert (marks.calls, len(model.calls)) == ({1: 1}, calls)


async def test_a_tool_that_is_gone_after_a_deploy_is_a_failed_result(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    marks.cut_off = {2}
    message = '[[TOOL mark {"n": 1}]] [[TOOL mark {"n": 2}]]'
    async with engines(agents=[Agent(id="solo", model=model, tools=[marks.tool()])]) as first:
        await first.start(message, "r1")
        await marks.began.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.TOOL_CALL_COMPLETED)
        await first.kill()
    async with engines(agents=[Agent(id="solo", model=model)]) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    (stored, gone) = tool_results(view)
    assert stored == ("marked 1", False), "what is stored needs no tool"
    assert gone[1]
    assert "no tool 'mark'" in gone[0]


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_tool_that_may_have_acted_is_a_question_after_a_deploy_too(
    engines: Engines, model: HeldModel, is_gone: bool
) -> None:
    marks = Marks()
    marks.cut_off = {2}

    @tool
    async def mark(n: int, why: str) -> str:
        """Mark a number; now also with a reason."""
        return f"marked {n}, {why}"

    async with engines(agents=[Agent(id="solo", model=model, tools=[marks.tool(retry_safe=False)])]) as first:
        await first.start('[[TOOL mark {"n": 2}]]', "r1")
        await marks.began.wait()
        await first.kill()
    async with engines(agents=[Agent(id="solo", model=model, tools=[] if is_gone else [mark])]) as second:
        view = await second.end_of("r1")
        assert view.row.state is RunState.PAUSED
        assert view.output is not None
        (requirement,) = view.output.requirements
        assert (requirement["kind"], requirement["tool"]["name"]) == ("unknown_outcome", "mark")


async def test_a_call_that_was_refused_is_refused_again(engines: Engines, model: HeldModel) -> None:
    """Where the process dies between the two nobody is asked about a call that nobody could have made."""
    agents = [Agent(id="solo", model=model, tools=[Marks().tool(retry_safe=False)])]
    async with engines(agents=agents) as first:
        view = await first.run('[[TOOL mark {"m": 2}]]', "r1")
        await first.records.execute("UPDATE journal SET state = 'started', result = NULL WHERE path = 't0/c0'")
        await first.records.execute("DELETE FROM journal WHERE path = 't1/m'")
        await first.records.execute("UPDATE runs SET state = 'ready', ended_at = NULL, holder = lane")
    async with engines(agents=agents) as second:
        again = await second.end_of("r1")
    assert again.row.state is RunState.COMPLETED
    assert tool_results(again) == tool_results(view)


async def test_members_that_are_gone_after_a_deploy_are_failed_results(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    marks.cut_off = {1}
    message = '[[DELEGATE two: <SAY done> || DELEGATE one: <TOOL mark {"n": 1}>]]'
    members = [Agent(id="one", tools=[marks.tool()]), Agent(id="two")]
    async with engines(teams=[Team(id="team", model=model, members=members)]) as first:
        await first.start(message, "r1")
        await marks.began.wait()
        await first.wait_for_event(
            "r1", lambda event: event.kind is EventKind.TOOL_CALL_COMPLETED and event.place == "t0/c0"
        )
        await first.kill()
    async with engines(teams=[Team(id="team", model=model)]) as second:
        view = await second.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    (stored, gone) = tool_results(view)
    assert stored == ("done", False), "what is stored needs no member"
    assert gone == ("There is no member 'one'. Members:\nnone", True)


async def test_times_count_from_the_first_attempt_on(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held", after=1)
    async with engines() as first:
        await first.start("held", "r1")
        await hold.reached.wait()
        await first.kill()
        await first.records.execute("UPDATE runs SET started_at = started_at - 100")
    hold.release()
    async with engines() as second:
        view = await second.end_of("r1")
    assert view.output is not None
    assert view.output.seconds is not None
    assert view.output.seconds >= 100


async def test_what_is_stored_is_not_judged_by_lowered_limits(engines: Engines, model: HeldModel) -> None:
    marks = Marks()
    agents = [Agent(id="solo", model=model, tools=[marks.tool(retry_safe=False)])]
    async with engines(agents=agents) as first:
        await killed_in_second_turn(first, model, '[[TOOL mark {"n": 1}]] [[TOOL mark {"n": 2}]]')
    limits = {"tool_result_stored_bytes": 1, "tool_arguments_bytes": 1, "turn_tool_calls": 1}
    async with engines(agents=agents, **limits) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
    assert tool_results(view) == [("marked 1", False), ("marked 2", False)]
    assert marks.calls == {1: 1, 2: 1}
