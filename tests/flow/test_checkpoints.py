"""Checkpoints: the conversation of a run as it was after each message, never between a call and its result."""

import json
from typing import Any

import pytest

from musterd import Agent, Loop, Step, StepInput, Team, Workflow, tool
from musterd.store import runs
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.store import of_run

DELEGATE = "Ask. [[DELEGATE writer-agent: x]]"
RUN = "/teams/demo-team/runs/r1"


async def test_the_places_at_which_a_run_can_be_cut(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", run_id="r1")
    roles = [message["role"] for message in done["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    page = await client.get(f"{RUN}/checkpoints", session_id="s1")
    assert (page["run_id"], page["session_id"]) == ("r1", "s1")
    summaries = [(one["checkpoint_id"], one["message_index"], one["reason"]) for one in page["checkpoints"]]
    assert summaries == [("1", 1, "checkpoint"), ("2", 2, "checkpoint"), ("3", 4, "checkpoint"), ("4", 5, "end")]
    assert page["checkpoints"][1] == {
        "checkpoint_id": "2",
        "run_id": "r1",
        "session_id": "s1",
        "message_index": 2,
        "continue_from": 2,
        "status": "COMPLETED",
        "reason": "checkpoint",
        "created_at": done["messages"][1]["created_at"],
        "message_id": done["messages"][1]["id"],
        "message_role": "user",
        "message_preview": DELEGATE,
        "is_latest": False,
        "from_step": "t0/m",
    }
    assert [one["from_step"] for one in page["checkpoints"]] == ["t0/m", "t0/m", "t1/m", None]
    assert page["checkpoints"][-1]["is_latest"]


async def test_the_run_as_it_was(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", run_id="r1")
    for index, messages, number in ((0, 0, None), (1, 1, "1"), (2, 2, "2"), (3, 2, None), (4, 4, "3"), (5, 5, "4")):
        detail = await client.get(f"{RUN}/checkpoints/{index}", session_id="s1")
        checkpoint, snapshot = detail["checkpoint"], detail["snapshot"]
        assert (checkpoint["message_index"], checkpoint["checkpoint_id"]) == (index, number)
        assert checkpoint["reason"] == "snapshot"
        assert snapshot["messages"] == done["messages"][:messages]
        assert snapshot["last_checkpoint_at_message_index"] == messages
        assert snapshot["tools"] == (done["tools"] if messages >= 4 else [])
        assert (snapshot["run_id"], snapshot["content"]) == ("r1", done["content"])
    assert (await client.get(RUN, session_id="s1"))["messages"] == done["messages"]


async def test_a_run_at_work_has_those_it_has_passed(client: ServerClient) -> None:
    """As the same numbers as at its end."""
    await client.run("before", session_id="s1")
    member = client.model.hold("wait")
    form = {"session_id": "s1", "run_id": "r1", "add_history_to_context": "true"}
    run = await client.begin("Ask. [[DELEGATE writer-agent: wait]]", **form)
    await member.reached.wait()
    (*_, last) = (await client.get(f"{RUN}/checkpoints", session_id="s1"))["checkpoints"]
    assert last["message_role"] == "user", "a call without its result is none"
    hold = client.model.hold("Ask")
    member.release()
    await hold.reached.wait()
    page = await client.get(f"{RUN}/checkpoints", session_id="s1")
    end = page["checkpoints"][-1]["message_index"]
    snapshot = (await client.get(f"{RUN}/checkpoints/{end}", session_id="s1"))["snapshot"]
    assert await client.get(f"{RUN}/checkpoints", session_id="s1") == page
    hold.release()
    done = await client.ended(run)
    after = await client.get(f"{RUN}/checkpoints", session_id="s1")
    passed = [one["message_index"] for one in page["checkpoints"]]
    assert passed == [one["message_index"] for one in after["checkpoints"]][: len(passed)]
    assert {one["status"] for one in page["checkpoints"]} == {"RUNNING"}
    assert [one["is_latest"] for one in page["checkpoints"]] == [*[False] * (len(passed) - 1), True]
    seen = [(one["role"], one.get("content")) for one in snapshot["messages"]]
    assert seen == [(one["role"], one.get("content")) for one in done["messages"]][: len(seen)]
    assert [role for role, _ in seen] == ["system", "user", "assistant", "tool"]


async def test_a_member_at_work_has_those_it_has_passed(client: ServerClient) -> None:
    """As the same numbers as at its end."""
    first = client.model.hold("Look")
    message = 'Ask. [[DELEGATE weather-agent: Look. [[TOOL get_weather {"city": "Lisbon"}]]]]'
    run = await client.begin(message, session_id="s1", run_id="r1")
    await first.reached.wait()
    second = client.model.hold("Look")
    first.release()
    await second.reached.wait()
    member = next(row.run_id for row in await client.server.database.read(of_run(runs.tree, "r1")) if row.parent_id)
    path = f"/teams/demo-team/runs/{member}/checkpoints"
    page = await client.get(path, session_id="s1")
    assert page["run_id"] == member
    end = page["checkpoints"][-1]["message_index"]
    snapshot = (await client.get(f"{path}/{end}", session_id="s1"))["snapshot"]
    second.release()
    await client.ended(run)
    after = await client.get(path, session_id="s1")
    passed = [(one["message_index"], one["message_role"], one["message_preview"]) for one in page["checkpoints"]]
    ended = [(one["message_index"], one["message_role"], one["message_preview"]) for one in after["checkpoints"]]
    assert passed == ended[: len(passed)]
    assert [role for _, role, _ in passed] == ["system", "user", "tool"]
    assert [one["role"] for one in snapshot["messages"]] == ["system", "user", "assistant", "tool"]


async def test_a_member_that_is_shown_its_earlier_runs_has_none_before_its_end(serve: Serve) -> None:
    model = HeldModel()
    writer = Agent(id="writer-agent", name="Writer Agent", role="Writes text", add_history_to_context=True)
    team = Team(id="demo-team", name="Demo Team", members=[writer], model=model)
    async with serve(model=model, served=Sample([team], [])) as client:
        hold = model.hold("wait")
        run = await client.begin("Ask. [[DELEGATE writer-agent: wait]]", session_id="s1", run_id="r1")
        await hold.reached.wait()
        member = next(row.run_id for row in await client.server.database.read(of_run(runs.tree, "r1")) if row.parent_id)
        path = f"/teams/demo-team/runs/{member}/checkpoints"
        assert (await client.get(path, session_id="s1"))["checkpoints"] == []
        hold.release()
        await client.ended(run)
        assert (await client.get(path, session_id="s1"))["checkpoints"]


async def test_a_run_that_went_on_has_those_behind_its_pause_too(serve: Serve) -> None:
    @tool(requires_confirmation=True)
    def pay(n: int) -> str:
        """Pay."""
        return f"paid {n}"

    model = HeldModel()
    agent = Agent(id="solo-agent", name="Solo Agent", tools=[pay], model=model)
    path = "/agents/solo-agent/runs/r1"
    async with serve(model=model, served=Sample([], [agent])) as client:
        paused = await client.run('Buy. [[TOOL pay {"n": 1}]]', to="agents/solo-agent", session_id="s1", run_id="r1")
        tools = [{**one, "confirmed": True} for one in paused["tools"]]
        hold = model.hold("Buy")
        form = {"tools": json.dumps(tools), "session_id": "s1", "stream": "false", "background": "true"}
        assert (await client.http.post(f"{path}/continue", data=form)).status_code == 202
        await hold.reached.wait()
        checkpoints = (await client.get(f"{path}/checkpoints", session_id="s1"))["checkpoints"]
        hold.release()
        await client.get(path, session_id="s1", wait="60")
    assert (checkpoints[-1]["message_role"], checkpoints[-1]["message_preview"]) == ("tool", "paid 1")


async def test_a_run_that_waits_for_its_turn_has_none_yet(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    first = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    waiting = await client.begin("hello", session_id="s1", run_id="r1")
    assert (await client.get(f"{RUN}/checkpoints", session_id="s1"))["checkpoints"] == []
    assert (await client.get(f"{RUN}/checkpoints/0", session_id="s1"))["snapshot"]["status"] == "PENDING"
    hold.release()
    await client.ended(first)
    await client.ended(waiting)
    assert (await client.get(f"{RUN}/checkpoints", session_id="s1"))["checkpoints"]


async def test_a_long_message_is_cut_short(client: ServerClient) -> None:
    await client.run("a\n" + "x" * 500, session_id="s1", run_id="r1", to="agents/solo-agent")
    page = await client.get("/agents/solo-agent/runs/r1/checkpoints", session_id="s1")
    previews = [one["message_preview"] for one in page["checkpoints"]]
    assert max(map(len, previews)) == 122
    assert "a " + "x" * 117 + "..." in previews


async def test_places_that_are_none(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    answer = await client.http.get(f"{RUN}/checkpoints/99", params={"session_id": "s1"})
    assert problem(answer, 400, "BAD_REQUEST").startswith("message_index must be between 0 and ")
    for index in ("-1", "x", "1.5", "²", "9" * 30):
        answer = await client.http.get(f"{RUN}/checkpoints/{index}", params={"session_id": "s1"})
        assert wrong_fields(answer) == [("path", "message_index")]


@pytest.mark.parametrize("path", ["checkpoints", "checkpoints/0"])
async def test_a_run_that_is_not_there(client: ServerClient, path: str) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    assert wrong_fields(await client.http.get(f"{RUN}/{path}")) == [("query", "session_id")]
    for address, session_id, words in (
        ("/teams/demo-team/runs/zzz", "s1", "Run not found"),
        ("/teams/demo-team/runs/r1", "s2", "Run not found"),
        ("/teams/other-team/runs/r1", "s1", "Run not found"),
        ("/teams/nope/runs/r1", "s1", "Team not found"),
    ):
        answer = await client.http.get(f"{address}/{path}", params={"session_id": session_id})
        assert problem(answer, 404, "NOT_FOUND") == words


async def test_what_stands_before_the_first_message_is_counted_at_work_too(serve: Serve) -> None:
    model = HeldModel()
    writer = Agent(id="writer-agent", name="Writer Agent", role="Writes text")
    opening: dict[str, Any] = {"introduction": "Welcome {who}", "session_state": {"who": "Ada"}}
    opening["additional_input"] = ["2+2?", {"role": "assistant", "content": "4"}]
    team = Team(id="demo-team", name="Demo Team", members=[writer], model=model, **opening)
    async with serve(model=model, served=Sample([team], [])) as client:
        member = model.hold("wait")
        run = await client.begin("Ask. [[DELEGATE writer-agent: wait]]", session_id="s1", run_id="r1")
        await member.reached.wait()
        checkpoints = (await client.get(f"{RUN}/checkpoints", session_id="s1"))["checkpoints"]
        member.release()
        await client.ended(run)
        after = (await client.get(f"{RUN}/checkpoints", session_id="s1"))["checkpoints"]
    previews = [(one["message_index"], one["message_preview"]) for one in checkpoints]
    assert previews[0] == (1, "Welcome Ada")
    assert previews == [(one["message_index"], one["message_preview"]) for one in after][: len(checkpoints)]


async def test_a_workflow_has_one_after_each_finished_step(serve: Serve) -> None:
    calls: list[str] = []

    def said(name: str) -> Step:
        def say(step_input: StepInput) -> str:
            calls.append(name)
            return f"{step_input.previous_step_content or step_input.input}>{name}"

        return Step(name=name, executor=say)

    model = HeldModel()
    loop = Loop(name="twice", steps=[said("b"), said("c")], max_iterations=2)
    flow = Workflow(id="flow", steps=[said("a"), loop, Agent(id="writer", model=model)])
    path = "/workflows/flow/runs/r1"
    async with serve(model=model, served=Sample([], [], [flow])) as client:
        hold = model.hold("go")
        run = await client.begin("go", to="workflows/flow", session_id="s1", run_id="r1")
        await hold.reached.wait()
        at_work = (await client.get(f"{path}/checkpoints", session_id="s1"))["checkpoints"]
        hold.release()
        done = await client.ended(run, "workflows/flow")
        places = (await client.get(f"{path}/checkpoints", session_id="s1"))["checkpoints"]
        assert [(one["step_name"], one["from_step"]) for one in places] == [
            ("a", "s1/i0/s0"),
            ("b", "s1/i0/s1"),
            ("c", "s1/i1/s0"),
            ("b", "s1/i1/s1"),
            ("c", "s2"),
            ("writer", None),
        ]
        assert [one["checkpoint_id"] for one in places] == ["1", "2", "3", "4", "5", "6"]
        assert [one["reason"] for one in places] == [*["checkpoint"] * 5, "end"]
        assert [one["step_name"] for one in at_work] == ["a", "b", "c", "b", "c"]

        counts = [0, 1, 2, 5, 6]
        snapshots = [(await client.get(f"{path}/checkpoints/{n}", session_id="s1"))["snapshot"] for n in counts]
        results = [[one["step_name"] for one in snapshot["step_results"]] for snapshot in snapshots]
        assert results == [[], ["a"], ["a"], ["a", "twice"], ["a", "twice", "writer"]]
        assert snapshots[-1]["content"] == done["content"]
        answer = await client.http.get(f"{path}/checkpoints/7", params={"session_id": "s1"})
        assert problem(answer, 400, "BAD_REQUEST") == "message_index must be between 0 and 6"

        calls.clear()
        form = {"session_id": "s1", "stream": "false", "from_step": places[2]["from_step"]}
        fork = (await client.http.post(f"{path}/continue", data=form)).json()
        assert (fork["status"], fork["content"], fork["forked_from"]) == ("COMPLETED", done["content"], "r1")
        assert calls == ["b", "c"], "the first iteration and what was before it are taken over"
