"""Route, broadcast and tasks across a crash: what is stored stays, what readers were told is told once."""

import asyncio
import re
from collections import Counter
from typing import Any

from pydantic_ai.messages import ModelMessage, ToolReturnPart

from musterd import Agent, Team, ToolContext, tool
from musterd.core.events import EventKind
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.engine.test_replay import tool_results
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.loop import Call, Turn, TurnModel


class Place:
    """A tool that counts its calls by agent, and waits in those that the test names."""

    def __init__(self, *waiting: str) -> None:
        self.calls: Counter[str] = Counter()
        self.waiting = set(waiting)
        self.began = asyncio.Event()

    def tool(self) -> Any:
        @tool(retry_safe=True)
        async def look(context: ToolContext) -> str:
            """Look."""
            self.calls[context.agent_id] += 1
            if context.agent_id in self.waiting:
                self.began.set()
                await asyncio.Event().wait()
            return f"seen by {context.agent_id}"

        return look


async def told_once(harness: EngineHarness, run_id: str) -> None:
    """All events but those of a stream that began anew stand once."""
    keys = [event.key for _, event in await harness.stored(run_id) if event.kind is not EventKind.CONTENT]
    repeated = {kind for (_, kind, _), times in Counter(keys).items() if times > 1}
    assert repeated <= {EventKind.MODEL_REQUEST_STARTED.value}


async def test_a_broadcast_goes_on_with_those_that_have_not_answered(engines: Engines, model: HeldModel) -> None:
    place = Place("two")
    members = [Agent(id="one", tools=[place.tool()]), Agent(id="two", tools=[place.tool()])]
    team = Team(id="team", mode="broadcast", model=model, members=members)
    async with engines(teams=[team]) as first:
        await first.start("[[BROADCAST <TOOL look>]]", "r1")
        await place.began.wait()
        done = next(run.run_id for run in await _members(first, 2) if run.component_id == "one")
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_COMPLETED and event.run_id == done)
        await first.kill()
    place.waiting.clear()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        await told_once(second, "r1")
    assert view.row.state is RunState.COMPLETED
    said = "Agent one: Done: seen by one\n\nAgent two: Done: seen by two"
    assert tool_results(view) == [(said, False)]
    assert place.calls == {"one": 1, "two": 2}, "who had answered is not asked again"


async def test_a_routed_stream_that_was_cut_off_is_void_in_the_leaders_voice(
    engines: Engines, model: HeldModel
) -> None:
    team = Team(id="team", mode="route", model=model, members=[Agent(id="one")])
    hold = model.hold("[[WORDS 6]]", after=3)
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE one: <WORDS 6>]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
        await first.kill()
        hold.release()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
        await told_once(second, "r1")
    assert (view.output and view.output.content) == "word0 word1 word2 word3 word4 word5"
    (void,) = [event for _, event in events if event.kind is EventKind.RUN_CONTINUED]
    ((begun, _), *_) = [
        (index, event)
        for index, event in events
        if event.kind is EventKind.MODEL_REQUEST_STARTED and event.run_id != "r1"
    ]
    assert void.data["superseded"] == [{"run_id": "r1", "path": "t0/c0", "from_event_index": begun}]
    again = next(index for index, event in events if event.kind is EventKind.RUN_CONTINUED)
    texts = [event.data["text"] for index, event in events if event.kind is EventKind.CONTENT and index > again]
    assert "".join(texts) == "word0 word1 word2 word3 word4 word5", "a reader that drops what is void has it once"


async def test_a_routed_answer_of_another_form_is_void_from_the_members_first_call_on(engines: Engines) -> None:
    schema = {"title": "Person", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    member = TurnModel(["Let me look. ", Call("look")], "It is Ada")
    leader = TurnModel(Call("delegate_task_to_member", {"member_id": "one", "task": "x"}), '{"name": "Ada"}')
    members = [Agent(id="one", model=member, tools=[Place().tool()])]
    team = Team(id="team", mode="route", model=leader, members=members, output_schema=schema)
    async with engines(teams=[team]) as harness:
        view = await harness.run("Who is it?", "r1")
        events = await harness.stored("r1")
    assert (view.output and view.output.content) == {"name": "Ada"}
    ((place, void),) = [(index, event) for index, event in events if event.kind is EventKind.RUN_CONTINUED]
    begun = next(
        index for index, event in events if event.kind is EventKind.MODEL_REQUEST_STARTED and event.run_id != "r1"
    )
    superseded = [{"run_id": "r1", "path": "t0/c0", "from_event_index": begun}]
    assert void.data == {"reason": "answer_invalid", "superseded": superseded}
    texts = [index for index, event in events if event.kind is EventKind.CONTENT and event.run_id == "r1"]
    assert max(texts) < place, "a reader that drops what is void has no text of it"
    ((answered, answer),) = [(index, event) for index, event in events if event.kind is EventKind.ANSWER]
    assert (answer.data["content"], answered > place) == ({"name": "Ada"}, True)


async def test_a_task_list_survives_and_what_was_done_is_not_done_again(engines: Engines, model: HeldModel) -> None:
    members = [Agent(id="one", role="Looks at apples"), Agent(id="two", role="Looks at pears")]
    team = Team(id="team", mode="tasks", model=model, members=members)
    async with engines(teams=[team]) as first:
        await first.start("look at apples and look at pears then look at apples again", "r1")
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_COMPLETED)
        await first.kill()
    calls = len(model.calls)
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        await told_once(second, "r1")
    assert view.row.state is RunState.COMPLETED
    assert view.output is not None
    assert view.output.session_state is not None
    listed = view.output.session_state["_team_tasks"]["tasks"]
    assert [task["assignee"] for task in listed] == ["one", "two", "one"]
    assert {task["status"] for task in listed} == {"completed"}
    assert listed[2]["dependencies"] == [listed[0]["id"], listed[1]["id"]]
    assert len(model.calls) > calls


async def test_a_task_whose_member_waits_for_a_person_is_done_after_a_restart(engines: Engines) -> None:
    paid = 0

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        nonlocal paid
        paid += 1
        return "paid"

    def plan(messages: list[ModelMessage]) -> Turn:
        parts = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if not parts:
            return [Call("create_task", {"title": name, "assignee": name}) for name in ("one", "two")]
        if len(parts) == 2:
            ids = [re.search(r"[0-9a-f]{8}", str(part.content)) for part in parts]
            return Call("execute_tasks_parallel", {"task_ids": [match and match[0] for match in ids]})
        return "All done"

    one = Agent(id="one", model=TurnModel(Call("pay"), "It is paid"), tools=[pay])
    two = Agent(id="two", model=TurnModel("Looked"))
    team = Team(id="team", mode="tasks", model=TurnModel(ask=plan), members=[one, two])
    async with engines(teams=[team]) as first:
        paused = await first.run("Pay and look", "r1")
        assert (paused.row.state, paused.output and len(paused.output.requirements)) == (RunState.PAUSED, 1)
        await first.kill()
    assert paused.output is not None
    async with engines(teams=[team]) as second:
        agreed = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.RUN)
        await second.runs.decide(RunRef(second.component(), "r1", "s1", NOBODY), [agreed])
        view = await second.end_of("r1")
        await told_once(second, "r1")
    assert view.output is not None
    assert (view.row.state, view.output.content, paid) == (RunState.COMPLETED, "All done", 1)
    assert view.output.session_state is not None
    listed = view.output.session_state["_team_tasks"]["tasks"]
    assert [(task["title"], task["status"], task["result"]) for task in listed] == [
        ("one", "completed", "It is paid"),
        ("two", "completed", "Looked"),
    ]


async def _members(harness: EngineHarness, count: int) -> list[Any]:
    rows = [view.row for view in await harness.members("r1")]
    assert len(rows) == count
    return rows
