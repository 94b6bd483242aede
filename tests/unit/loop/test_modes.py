"""The modes route, broadcast and tasks, and what a leader may leave to the user's own words."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from musterd import Agent, Team
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.loop import tasks
from musterd.loop.run_tree import digest
from tests.support.loop import Call, LoopHarness, TurnModel, failure
from tests.unit.loop.test_loop import delegate


def user_message(model: TurnModel, turn: int = 0) -> str:
    """The user message of a turn."""
    parts = [part for message in model.seen[turn] for part in message.parts if isinstance(part, UserPromptPart)]
    return str(parts[-1].content)


def system(model: TurnModel, turn: int = 0) -> str:
    first = model.seen[turn][0]
    assert isinstance(first, ModelRequest)
    return "\n".join(part.content for part in first.parts if isinstance(part, SystemPromptPart))


def team_text(harness: LoopHarness) -> str:
    """The text that is told as the team's own."""
    events = [event for event in harness.events if event.kind is EventKind.CONTENT and event.run_id == "root"]
    return "".join(event.data.get("text", "") for event in events)


# Route


async def test_a_routed_member_answers_the_user_in_the_teams_voice() -> None:
    leader, member = TurnModel(delegate("a")), TurnModel(["The ", "answer"])
    harness = LoopHarness(Team(id="team", mode="route", model=leader, members=[Agent(id="a", model=member)]))
    output = await harness.drive()
    assert (output.content, output.content_type) == ("The answer", "str")
    assert len(leader.seen) == 1, "the leader has no second turn"
    assert team_text(harness) == "The answer"
    member_id = harness.steps.started[0].run_id
    assert not [event for event in harness.events if event.kind is EventKind.CONTENT and event.run_id == member_id]
    assert EventKind.RUN_COMPLETED in harness.kinds(member_id)
    assert [call.stops_run for call in output.tools] == [True]


async def test_a_leader_may_answer_itself_where_no_member_fits() -> None:
    harness = LoopHarness(Team(id="team", mode="route", model=TurnModel("Mine"), members=[Agent(id="a")]))
    assert (await harness.drive()).content == "Mine"


async def test_a_routed_member_that_fails_is_the_leaders_to_read_and_what_it_said_is_void() -> None:
    leader, member = TurnModel(delegate("a"), "Sorry"), TurnModel(["Half an ", failure(400)])
    harness = LoopHarness(Team(id="team", mode="route", model=leader, members=[Agent(id="a", name="A", model=member)]))
    assert (await harness.drive()).content == "Sorry"
    assert leader.tool_results()[0].startswith("A failed")
    (void,) = [event for event in harness.events if event.kind is EventKind.RUN_CONTINUED]
    assert void.data["reason"] == "member_failed"
    assert void.data["superseded"] == [{"run_id": "root", "path": "t0/c0"}]


async def test_several_routed_members_speak_for_themselves_and_the_team_behind_them() -> None:
    leader = TurnModel([delegate("a"), delegate("b")])
    members = [Agent(id="a", model=TurnModel("From a")), Agent(id="b", model=TurnModel("From b"))]
    harness = LoopHarness(Team(id="team", mode="route", model=leader, members=members))
    assert (await harness.drive()).content == "From a\n\nFrom b"
    assert team_text(harness) == "From a\n\nFrom b"
    first, second = (start.run_id for start in harness.steps.started)
    texts = {event.run_id: event.data["text"] for event in harness.events if event.kind is EventKind.CONTENT}
    assert (texts[first], texts[second]) == ("From a", "From b")


async def test_a_routed_answer_keeps_the_form_of_the_member() -> None:
    class Person(BaseModel):
        name: str

    member = Agent(id="a", model=TurnModel('{"name": "Ada"}'), output_schema=Person)
    harness = LoopHarness(Team(id="team", mode="route", model=TurnModel(delegate("a")), members=[member]))
    output = await harness.drive()
    assert (output.content, output.content_type) == ({"name": "Ada"}, "Person")


async def test_a_team_with_a_form_words_what_its_member_did_not() -> None:
    schema = {"title": "Person", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    leader = TurnModel(delegate("a"), '{"name": "Ada"}')
    member = Agent(id="a", model=TurnModel("It is Ada"))
    harness = LoopHarness(Team(id="team", mode="route", model=leader, members=[member], output_schema=schema))
    output = await harness.drive()
    assert (output.content, output.content_type) == ({"name": "Ada"}, "Person")
    assert team_text(harness) == "It is Ada"
    (answer,) = [event for event in harness.events if event.kind is EventKind.ANSWER]
    assert answer.data == {"content": {"name": "Ada"}, "content_type": "Person"}
    (void,) = [event for event in harness.events if event.kind is EventKind.RUN_CONTINUED]
    assert void.data == {"reason": "answer_invalid", "superseded": [{"run_id": "root", "path": "t0/c0"}]}


async def test_a_route_through_a_team_is_heard_in_the_first_teams_voice() -> None:
    inner = Team(
        id="inner", mode="route", model=TurnModel(delegate("a")), members=[Agent(id="a", model=TurnModel("X"))]
    )
    harness = LoopHarness(Team(id="team", mode="route", model=TurnModel(delegate("a")), members=[inner]))
    assert (await harness.drive()).content == "X"
    assert team_text(harness) == "X"
    assert [start.component_id for start in harness.steps.started] == ["inner", "a"], (
        "who is below is reached by its team"
    )


# Broadcast


async def test_all_members_work_at_once_and_the_leader_reads_them_in_order() -> None:
    both = asyncio.Barrier(2)

    class Meeting(TurnModel):
        async def _stream(self, messages: list[ModelMessage], info: Any) -> Any:
            await both.wait()
            async for piece in super()._stream(messages, info):
                yield piece

    leader = TurnModel(Call("delegate_task_to_members", {"task": "Look"}), "All said")
    members = [Agent(id="a", name="Ann", model=Meeting("A1")), Agent(id="b", name="Bob", model=Meeting("B1"))]
    harness = LoopHarness(Team(id="team", mode="broadcast", model=leader, members=members))
    output = await harness.drive()
    assert output.content == "All said"
    assert leader.tool_results() == ["Agent Ann: A1\n\nAgent Bob: B1"]
    assert [(start.path, start.task) for start in harness.steps.started] == [("t0/c0/0", "Look"), ("t0/c0/1", "Look")]
    assert [tool.name for tool in leader.offered[0].function_tools] == ["delegate_task_to_members"]
    assert {"t0/c0", "t0/c0/0", "t0/c0/1"} <= set(harness.steps.results)
    assert (output.tools[0].child_run_id, output.tools[0].is_error) == (None, False)


async def test_a_broadcast_fails_only_where_all_fail() -> None:
    leader = TurnModel(*[Call("delegate_task_to_members", {"task": "Look"})] * 2, "Well")
    members = [
        Agent(id="a", name="Ann", model=TurnModel(failure(400), failure(400))),
        Agent(id="b", name="Bob", model=TurnModel("B1", failure(400))),
    ]
    harness = LoopHarness(Team(id="team", mode="broadcast", model=leader, members=members))
    output = await harness.drive()
    assert [call.is_error for call in output.tools] == [False, True]
    assert "Ann failed" in (output.tools[0].result or "")
    assert "Agent Bob: B1" in (output.tools[0].result or "")


async def test_a_call_of_another_mode_is_refused_in_words() -> None:
    leader = TurnModel(delegate("a"), "Well")
    harness = LoopHarness(Team(id="team", mode="broadcast", model=leader, members=[Agent(id="a")]))
    await harness.drive()
    assert leader.tool_results() == [
        "There is no tool 'delegate_task_to_member'. Delegate with delegate_task_to_members."
    ]


# Whose words a member gets, and what else it knows


async def test_members_get_the_users_own_words_where_the_leader_does_not_choose_them() -> None:
    leader, member = TurnModel(Call("delegate_task_to_member", {"member_id": "a"}), "Well"), TurnModel("Done")
    team = Team(id="team", model=leader, members=[Agent(id="a", model=member)], determine_input_for_members=False)
    await LoopHarness(team, "Exactly this?").drive()
    assert user_message(member) == "Exactly this?"
    (offered,) = leader.offered[0].function_tools
    assert list(offered.parameters_json_schema["properties"]) == ["member_id"]


async def test_later_members_know_what_earlier_ones_said() -> None:
    second = TurnModel("Second")
    members = [Agent(id="a", name="Ann", model=TurnModel("First")), Agent(id="b", model=second)]
    leader = TurnModel(delegate("a", "one"), delegate("b", "two"), "Well")
    await LoopHarness(Team(id="team", model=leader, members=members, share_member_interactions=True)).drive()
    assert 'member="Ann"' in system(second)
    assert "one" in system(second)
    assert "First" in system(second)
    assert user_message(second) == "two", "the task itself stays as the leader worded it"


async def test_a_leader_looks_its_members_up() -> None:
    def lookup(city: str) -> str:
        """Find a city."""
        return city

    leader = TurnModel(Call("get_member_information"), "Well")
    member = Agent(id="a", role="Finds", tools=[lookup])
    team = Team(id="team", model=leader, members=[member], get_member_information_tool=True)
    await LoopHarness(team).drive()
    assert "lookup: Find a city." in leader.tool_results()[0]
    assert "lookup: Find a city." not in system(leader)
    reader = TurnModel("Well")
    await LoopHarness(Team(id="team", model=reader, members=[member], add_member_tools_to_context=True)).drive()
    assert "lookup: Find a city." in system(reader)


# Tasks


def create(title: str, **options: Any) -> Call:
    return Call("create_task", {"title": title, "description": f"Do {title}", **options})


def created(messages: list[ModelMessage]) -> dict[str, str]:
    """The ids of the tasks that were created, by title."""
    texts = [str(getattr(part, "content", "")) for message in messages for part in message.parts]
    lines = [text.removeprefix("Task created: ") for text in texts if text.startswith("Task created")]
    return {text.partition("] ")[2].partition(" (")[0]: text[1:9] for text in lines}


class Planner(TurnModel):
    """A leader that speaks its turns; a turn may be made from the ids of the tasks."""

    def __init__(self, *turns: Any) -> None:
        self._left = list(turns)
        super().__init__(ask=self._next)

    def _next(self, messages: list[ModelMessage]) -> Any:
        turn = self._left.pop(0)
        return turn(created(messages)) if callable(turn) else turn


def tasks_team(leader: TurnModel, *members: Agent, **options: Any) -> Team:
    return Team(id="team", mode="tasks", model=leader, members=list(members), **options)


def task_list(harness: LoopHarness) -> JsonObject:
    task_state: JsonObject = harness.run.state[tasks.KEY]
    return task_state


async def test_hooks_of_the_team_stand_around_a_task_that_is_executed() -> None:
    names = []

    async def note(name: str, func: Any) -> Any:
        names.append(name)
        return await func()

    leader = Planner(
        create("Find", assignee="ann"),
        lambda ids: Call("execute_task", {"task_id": ids["Find"], "member_id": "ann"}),
        Call("mark_all_complete", {"summary": "Done"}),
        "All done",
    )
    harness = LoopHarness(tasks_team(leader, Agent(id="ann", model=TurnModel("Facts")), tool_hooks=[note]))
    await harness.drive()
    assert names == ["execute_task"], "tools of the loop itself pass through no hook"
    assert [(task["status"], task["result"]) for task in task_list(harness)["tasks"]] == [("completed", "Facts")]


async def test_a_goal_is_reached_over_tasks_that_depend_on_each_other() -> None:
    ann, bob = TurnModel("Facts"), TurnModel("Text")
    leader = Planner(
        [create("Find", assignee="ann")],
        lambda ids: [create("Write", assignee="bob", depends_on=[ids["Find"]])],
        lambda ids: Call("execute_task", {"task_id": ids["Write"], "member_id": "bob"}),
        lambda ids: Call("execute_task", {"task_id": ids["Find"], "member_id": "ann"}),
        lambda ids: Call("execute_task", {"task_id": ids["Write"], "member_id": "bob"}),
        Call("mark_all_complete", {"summary": "Done"}),
        "All done",
    )
    harness = LoopHarness(tasks_team(leader, Agent(id="ann", model=ann), Agent(id="bob", model=bob)))
    output = await harness.drive()
    assert output.content == "All done"
    assert [(task["title"], task["status"], task["result"]) for task in task_list(harness)["tasks"]] == [
        ("Find", "completed", "Facts"),
        ("Write", "completed", "Text"),
    ]
    assert task_list(harness)["goal_complete"] is True
    assert "waits for" in (output.tools[2].result or ""), "what is not ready is not executed"
    assert user_message(bob) == "Do Write\n\nResult of 'Find':\nFacts"
    events = [
        (event.data["title"], event.data["status"]) for event in harness.events if event.kind is EventKind.TASK_UPDATED
    ]
    assert events == [("Find", "in_progress"), ("Find", "completed"), ("Write", "in_progress"), ("Write", "completed")]
    assert [event.data["status"] for event in harness.events if event.kind is EventKind.TASK_CREATED] == [
        "pending",
        "blocked",
    ]


async def test_tasks_side_by_side_all_count() -> None:
    leader = Planner(
        [create("One", assignee="ann"), create("Two", assignee="bob"), create("Three")],
        lambda ids: [
            Call("execute_tasks_parallel", {"task_ids": [ids["One"], ids["Two"]]}),
            Call("update_task_status", {"task_id": ids["Three"], "status": "completed", "result": "Mine"}),
        ],
        "Answer",
    )
    harness = LoopHarness(
        tasks_team(leader, Agent(id="ann", model=TurnModel("1")), Agent(id="bob", model=TurnModel("2")))
    )
    assert (await harness.drive()).content == "Answer"
    assert [(task["title"], task["result"]) for task in task_list(harness)["tasks"]] == [
        ("One", "1"),
        ("Two", "2"),
        ("Three", "Mine"),
    ]
    assert [start.path for start in harness.steps.started] == ["t1/c0/0", "t1/c0/1"]


async def test_a_task_depends_on_each_other_task_once() -> None:
    bob = TurnModel("Text")
    leader = Planner(
        [create("A"), create("B")],
        lambda ids: [
            Call("update_task_status", {"task_id": ids[title], "status": "completed", "result": f"{title} done"})
            for title in ("A", "B")
        ],
        lambda ids: create("C", depends_on=[ids["B"], ids["A"], *[ids["B"]] * 1000]),
        lambda ids: Call("execute_task", {"task_id": ids["C"], "member_id": "bob"}),
        "Done",
    )
    harness = LoopHarness(tasks_team(leader, Agent(id="bob", model=bob)))
    await harness.drive()
    assert user_message(bob) == "Do C\n\nResult of 'B':\nB done\n\nResult of 'A':\nA done"
    a, b, c = task_list(harness)["tasks"]
    assert c["dependencies"] == [b["id"], a["id"]]


async def test_results_that_are_passed_on_have_a_limit() -> None:
    leader = Planner(
        create("Long"),
        lambda ids: Call("update_task_status", {"task_id": ids["Long"], "status": "completed", "result": "x" * 500}),
        lambda ids: [create(f"T{n}", assignee="bob", depends_on=[ids["Long"]]) for n in range(4)],
        lambda ids: Call("execute_tasks_parallel", {"task_ids": [ids[f"T{n}"] for n in range(4)]}),
        lambda ids: Call("execute_tasks_parallel", {"task_ids": [ids[f"T{n}"] for n in range(3)]}),
        Call("mark_all_complete", {"summary": "Done"}),
        "Done",
    )
    team = tasks_team(leader, Agent(id="bob", model=TurnModel("1", "2", "3")))
    harness = LoopHarness(team, settings={"state_bytes": 1700})
    output = await harness.drive()
    refused, executed, _ = output.tools[-3:]
    assert "depend on results of more than 1700 bytes" in (refused.result or "")
    assert (refused.is_error, executed.is_error) == (True, False)


async def test_a_task_that_fails_can_be_done_again() -> None:
    leader = Planner(
        [create("One", assignee="ann")],
        lambda ids: Call("execute_task", {"task_id": ids["One"], "member_id": "ann"}),
        lambda ids: Call("update_task_status", {"task_id": ids["One"], "status": "pending"}),
        lambda ids: Call("execute_task", {"task_id": ids["One"], "member_id": "ann"}),
        "Answer",
    )
    harness = LoopHarness(tasks_team(leader, Agent(id="ann", model=TurnModel(failure(400), "Now"))))
    output = await harness.drive()
    assert [call.is_error for call in output.tools] == [False, True, False, False]
    assert task_list(harness)["tasks"][0]["result"] == "Now"


async def test_hooks_of_the_team_keep_that_a_task_failed() -> None:
    async def keep(func: Any) -> Any:
        return await func()

    leader = Planner(
        create("Find", assignee="ann"),
        lambda ids: Call("execute_task", {"task_id": ids["Find"], "member_id": "ann"}),
        "Answer",
    )
    harness = LoopHarness(tasks_team(leader, Agent(id="ann", model=TurnModel(failure(400))), tool_hooks=[keep]))
    output = await harness.drive()
    assert [call.is_error for call in output.tools] == [False, True]
    assert task_list(harness)["tasks"][0]["status"] == "failed"


async def test_the_limit_of_iterations_is_said_in_the_result() -> None:
    leader = Planner([create("One", assignee="ann")], "Soon", "Still soon")
    harness = LoopHarness(tasks_team(leader, Agent(id="ann"), max_iterations=2))
    output = await harness.drive()
    assert isinstance(output.content, str)
    assert output.content.startswith("Still soon\n\nNot finished: the limit of 2 iterations was reached. Open tasks: [")
    assert "One (pending)" in output.content
    started = [event.data for event in harness.events if event.kind is EventKind.TASK_ITERATION_STARTED]
    assert started == [{"iteration": 1, "max_iterations": 2}, {"iteration": 2, "max_iterations": 2}]
    assert "One (pending)" in user_message(leader, 2), "the leader is told where the list stands"


async def test_an_answer_that_is_a_call_has_a_result_when_the_leader_goes_on() -> None:
    answer = Call("final_result", {"sum": 4})
    leader = Planner(
        create("Add", assignee="ann"),
        answer,
        lambda ids: Call("update_task_status", {"task_id": ids["Add"], "status": "completed", "result": "4"}),
        Call("mark_all_complete", {"summary": "Done"}),
        answer,
    )
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    harness = LoopHarness(tasks_team(leader, Agent(id="ann"), output_schema=schema))
    assert (await harness.drive()).content == {"sum": 4}
    calls = [part for message in leader.seen[-1] for part in message.parts if isinstance(part, ToolCallPart)]
    results = [part for message in leader.seen[-1] for part in message.parts if isinstance(part, ToolReturnPart)]
    assert "final_result" in [call.tool_name for call in calls]
    assert [result.tool_call_id for result in results] == [call.tool_call_id for call in calls]


async def test_what_needs_no_task_is_answered_at_once() -> None:
    harness = LoopHarness(tasks_team(Planner("Hello"), Agent(id="ann")))
    assert (await harness.drive()).content == "Hello"
    assert [kind for kind in harness.kinds() if kind.value.startswith("task")] == [
        EventKind.TASK_ITERATION_STARTED,
        EventKind.TASK_STATE_UPDATED,
        EventKind.TASK_ITERATION_COMPLETED,
    ]


async def test_a_run_begins_with_a_list_of_its_own() -> None:
    earlier = {tasks.KEY: {"tasks": [{"id": "x"}], "goal_complete": True, "completion_summary": "Old"}}
    harness = LoopHarness(tasks_team(Planner("Hello"), Agent(id="ann")), state=earlier)
    await harness.drive()
    assert task_list(harness) == tasks.new_list()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Call("execute_task", {"task_id": "none", "member_id": "ann"}), "There is no task 'none'."),
        (Call("execute_task", {"member_id": "ann"}), "execute_task takes task_id and member_id"),
        (Call("execute_tasks_parallel", {"task_ids": []}), "takes task_ids, a list of ids"),
        (Call("execute_tasks_parallel", {"task_ids": ["a", "a"]}), "Name each task once."),
        (create("One", assignee="eve"), "There is no member 'eve'. Members: ann."),
        (create("One", depends_on=["x"]), "There is no task x to depend on."),
        (Call("update_task_status", {"task_id": "x", "status": "completed"}), "There is no task 'x'."),
        (delegate("ann"), "There is no tool 'delegate_task_to_member'."),
    ],
)
async def test_what_cannot_be_done_to_a_list_is_said(call: Call, said: str) -> None:
    leader = Planner(call, "Well")
    output = await LoopHarness(tasks_team(leader, Agent(id="ann"))).drive()
    assert said in json.dumps(leader.tool_results(), ensure_ascii=False)
    assert output.tools[0].is_error


async def test_a_member_with_a_task_list_of_its_own_leaves_its_leaders_alone() -> None:
    first = digest("root", "t0/c0")[:8]
    inner = TurnModel(
        Call("create_task", {"title": "Inner"}), Call("mark_all_complete", {"summary": "All done"}), "From inside"
    )
    leader = TurnModel(
        [Call("create_task", {"title": "One"}), Call("create_task", {"title": "Two"})],
        Call("execute_task", {"task_id": first, "member_id": "inner"}),
        "Well",
    )
    below = Team(id="inner", mode="tasks", model=inner, members=[Agent(id="a")])
    harness = LoopHarness(Team(id="team", mode="tasks", max_iterations=1, model=leader, members=[below]))
    output = await harness.drive()
    task_rows = tasks.list_in(harness.run.state)
    assert [(task["title"], task["status"]) for task in task_rows["tasks"]] == [
        ("One", "completed"),
        ("Two", "pending"),
    ]
    assert task_rows["goal_complete"] is False
    assert "Not finished" in str(output.content), "the member's goal is not the team's"


async def test_several_answers_below_a_routed_team_are_told_in_the_first_teams_voice() -> None:
    members = [Agent(id="a", model=TurnModel("A1")), Agent(id="b", model=TurnModel("B1"))]
    inner = Team(id="inner", mode="route", model=TurnModel([delegate("a"), delegate("b")]), members=members)
    harness = LoopHarness(Team(id="team", mode="route", model=TurnModel(delegate("inner")), members=[inner]))
    assert (await harness.drive()).content == "A1\n\nB1"
    assert team_text(harness) == "A1\n\nB1"


async def test_a_routed_member_whose_events_nobody_sees_is_heard_when_it_has_answered() -> None:
    leader, member = TurnModel(delegate("a"), delegate("a")), TurnModel(["Half an ", failure(400)], ["The ", "answer"])
    members = [Agent(id="a", model=member)]
    harness = LoopHarness(Team(id="team", mode="route", model=leader, members=members, stream_member_events=False))
    assert (await harness.drive()).content == "The answer"
    assert team_text(harness) == "The answer", "what is void is told by an event of the member, and none is told"


async def test_what_is_not_finished_is_said_by_whoever_words_the_answer() -> None:
    leader = TurnModel(Call("create_task", {"title": "One"}), "Soon")
    team = Team(
        id="team",
        mode="tasks",
        max_iterations=1,
        model=leader,
        output_model=TurnModel("Worded"),
        members=[Agent(id="a")],
    )
    output = await LoopHarness(team).drive()
    assert str(output.content).startswith("Worded\n\nNot finished: the limit of 1 iterations was reached.")
