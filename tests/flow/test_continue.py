"""Paused runs over HTTP: how they look, how they are decided, and how the answer comes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsFloat, IsInt, IsStr

from musterd import Agent, Team, ToolContext, tool
from tests.support.app import Sample, app_on, in_process
from tests.support.engine import cut_off
from tests.support.http import ServerClient, Stream, problem, read_stream, wrong_fields

TEAM, AGENT = "teams/demo-team", "agents/solo-agent"
LEADERS = '[[TOOL ping {}]] [[TOOL pay {"n": 1}]]'
MEMBERS = '[[DELEGATE weather-agent: <TOOL pay {"n": 1}>]]'
BOTH = '[[TOOL pay {"n": 1}]] [[TOOL pay {"n": 2}]]'
RUN = {"run_id": "r1", "session_id": "s1"}
WAITING_TOOL = {
    "tool_call_id": IsStr(regex="call_.+"),
    "tool_name": "pay",
    "tool_args": {"n": 1},
    "tool_call_error": None,
    "result": None,
    "metrics": None,
    "child_run_id": None,
    "stop_after_tool_call": False,
    "created_at": IsInt,
    "requires_confirmation": True,
    "confirmed": None,
    "confirmation_note": None,
    "requires_user_input": None,
    "user_input_schema": None,
    "user_feedback_schema": None,
    "answered": None,
    "external_execution_required": None,
    "external_execution_silent": None,
    "approval_type": None,
    "approval_id": IsStr,
}
REQUIREMENT = {
    "id": IsStr,
    "created_at": IsStr(regex=r"\d{4}-\d\d-\d\dT.+\+00:00"),
    "tool_execution": WAITING_TOOL,
    "kind": "unknown_outcome",
    "started_at": IsFloat,
}


class Shop:
    """A team and an agent that pay; a payment hangs until the server is killed, later ones come through."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.paid: list[int] = []
        self.is_hanging = True

    def sample(self) -> Sample:
        @tool
        async def pay(n: int, context: ToolContext) -> str:
            """Pay."""
            self.paid.append(n)
            if self.is_hanging:
                await asyncio.Event().wait()
            return f"paid {n}"

        @tool
        def ping() -> str:
            """Ping."""
            return "pong"

        tools = [pay, ping]
        one = Agent(id="weather-agent", name="Weather Agent", tools=tools)
        team = Team(id="demo-team", name="Demo Team", members=[one], tools=tools, model="scripted")
        other = Team(id="other-team", name="Other Team", members=[one], model="scripted")
        return Sample([team, other], [Agent(id="solo-agent", name="Solo Agent", tools=tools, model="scripted")])

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ServerClient]:
        async with in_process(app_on(self.database, served=self.sample())) as client:
            yield client

    def is_hanging_in(self, calls: int, message: str, steps: list[dict[str, Any]]) -> bool:
        """Whether everything but the payments is done."""
        done = [step for step in steps if step["kind"] == "tool" and step["state"] == "completed"]
        return len(self.paid) == calls and len(done) == message.count("ping")

    @contextlib.asynccontextmanager
    async def paused(self, message: str = LEADERS, to: str = TEAM, calls: int = 1) -> AsyncIterator[ServerClient]:
        """A server with one run, ``r1``, that was cut off in so many payments, and has paused since."""
        async with self.serving() as first:
            run = await first.begin(message, to, **RUN)
            while not self.is_hanging_in(calls, message, await first.get(f"/{to}/runs/r1/steps", session_id="s1")):
                pass
            await cut_off(first.server.worker)
        self.is_hanging = False
        async with self.serving() as second:
            assert (await second.ended(run, to))["status"] == "PAUSED"
            yield second


@pytest.fixture
def shop(database: Path) -> Shop:
    return Shop(database)


async def look(client: ServerClient, to: str = TEAM) -> dict[str, Any]:
    run: dict[str, Any] = await client.get(f"/{to}/runs/r1", session_id="s1")
    return run


async def send(client: ServerClient, to: str = TEAM, run_id: str = "r1", **fields: Any) -> Any:
    """Continue, by a form; lists as JSON."""
    data = {"session_id": "s1", "stream": "false", **fields}
    form = {name: json.dumps(value) if isinstance(value, list) else value for name, value in data.items()}
    return await client.http.post(
        f"/{to}/runs/{run_id}/continue", data={k: v for k, v in form.items() if v is not None}
    )


def decided(run: dict[str, Any], **decision: Any) -> list[dict[str, Any]]:
    """The run's requirements, each with the decision filled in."""
    return [{**requirement, **decision} for requirement in run["requirements"]]


# --- how it looks ----------------------------------------------------------------------------------------


async def test_a_paused_run_says_what_it_waits_for(shop: Shop) -> None:
    async with shop.paused() as client:
        run = await look(client)
        (listed,) = await client.get(f"/{TEAM}/runs", session_id="s1", status="paused")
    content = "Team run paused. The following require input:\n- team: pay was interrupted; "
    content += "if it did not happen, confirm to have it made again, otherwise enter its result"
    event = {
        "created_at": IsInt,
        "event": "TeamRunPaused",
        "team_id": "demo-team",
        "team_name": "Demo Team",
        **RUN,
        "content": content,
        "tools": [WAITING_TOOL],
        "requirements": [REQUIREMENT],
    }
    assert run["status"] == "PAUSED"
    assert run["content"] == content
    assert run["requirements"] == [REQUIREMENT]
    assert run["events"] == [event]
    assert [one["tool_name"] for one in run["tools"]] == ["ping", "pay"]
    assert run["tools"][1] == WAITING_TOOL
    assert run["tools"][0]["result"] == "pong"
    assert [one["role"] for one in run["messages"]] == ["system", "user", "assistant"]
    assert run["metrics"]["total_tokens"] == 15
    assert run["metrics"]["duration"] > 0
    assert (listed["status"], listed["content"], listed["events"]) == ("PAUSED", content, [event])
    assert listed["tools"] == run["tools"]


async def test_a_members_call_says_whose_it_is(shop: Shop) -> None:
    async with shop.paused(MEMBERS) as client:
        run = await look(client)
        (requirement,) = run["requirements"]
        member_run = requirement["member_run_id"]
        member = await client.get(f"/{TEAM}/runs/{member_run}", session_id="s1")
    named = {"member_agent_id": "weather-agent", "member_agent_name": "Weather Agent", "member_run_id": IsStr}
    assert requirement == {**REQUIREMENT, **named}
    assert "\n- Weather Agent: pay " in run["content"]
    assert [one["tool_name"] for one in run["tools"]] == ["delegate_task_to_member"]
    assert member["status"] == "PAUSED"


async def test_an_agents_run(shop: Shop) -> None:
    async with shop.paused(to=AGENT) as client:
        run = await look(client, AGENT)
    assert run["content"].startswith("Run paused. The following require input:\n- Solo Agent: pay ")
    assert run["requirements"] == [REQUIREMENT]
    assert run["events"][0]["event"] == "RunPaused"


# --- how it is decided -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "result", "is_error", "times"),
    [
        ({"confirmation": True}, "paid 1", False, 2),
        ({"tool_execution": {"confirmed": True}}, "paid 1", False, 2),
        ({"confirmation": False, "confirmation_note": "not again"}, "not again", True, 1),
        ({"tool_execution": {"confirmed": False, "confirmation_note": "no"}}, "no", True, 1),
        ({"external_execution_result": "receipt 7"}, "receipt 7", False, 1),
        ({"tool_execution": {"result": "receipt 8"}}, "receipt 8", False, 1),
    ],
)
async def test_each_decision(shop: Shop, decision: dict[str, Any], result: str, is_error: bool, times: int) -> None:
    async with shop.paused() as client:
        answer = await send(client, requirements=decided(await look(client), **decision))
        assert answer.status_code == 200, answer.text
        run = answer.json()
        assert {**run, "events": []} == await look(client)
    assert (run["status"], run["attempts"]) == ("COMPLETED", 3)
    assert [(one["result"], one["tool_call_error"]) for one in run["tools"]] == [("pong", False), (result, is_error)]
    assert "requirements" not in run
    assert len(shop.paid) == times


async def test_a_decision_that_is_sent_twice(shop: Shop) -> None:
    async with shop.paused() as client:
        yes = decided(await look(client), confirmation=True)
        first, again = await send(client, requirements=yes), await send(client, requirements=yes)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.json() == first.json()
        other = await send(client, requirements=[{**yes[0], "confirmation": False}])
        assert problem(other, 409, "CONFLICT") == "run is already continued"
        assert (await send(client, requirements=[])).json() == first.json()
    assert shop.paid == [1, 1]


async def test_two_calls_in_two_rounds(shop: Shop) -> None:
    async with shop.paused(BOTH, calls=2) as client:
        one, two = (await look(client))["requirements"]
        unchanged = await send(client, requirements=[one, two])
        assert (unchanged.status_code, unchanged.json()["requirements"]) == (200, [one, two])
        echo = {**one, "execute_pre_hooks": True}  # as later versions of AgentOS's client send it back
        run = (await send(client, requirements=[echo, {**two, "confirmation": True}])).json()
        assert (run["status"], run["requirements"]) == ("PAUSED", [one])
        assert [tool["result"] for tool in run["tools"]] == [None, "paid 2"]
        run = (await send(client, requirements=[{**one, "confirmation": False}])).json()
        assert run["status"] == "COMPLETED"
    assert sorted(shop.paid) == [1, 2, 2]


async def test_what_is_refused(shop: Shop) -> None:
    async with shop.paused() as client:
        yes = decided(await look(client), confirmation=True)
        bad = await send(client, requirements="[{")
        assert problem(bad, 400, "BAD_REQUEST") == "Invalid JSON in requirements field"
        nowhere = await send(client, session_id=None, requirements=yes)
        assert problem(nowhere, 400, "BAD_REQUEST") == "session_id is required for this action"
        unknown = await send(client, requirements=[{**yes[0], "id": "other"}])
        assert wrong_fields(unknown) == [("body", "requirements")]
        for wrong in ('{"id": 1}', "[1]", '[{"confirmation": true}]'):
            assert wrong_fields(await send(client, requirements=wrong)) == [("body", "requirements")]
        wrong_type = await send(client, requirements=[{**yes[0], "confirmation": "yes"}])
        assert wrong_fields(wrong_type) == [("body", "requirements")]
        for to, run_id, session in (
            (TEAM, "r2", "s1"),
            (TEAM, "r1", "s2"),
            ("teams/other-team", "r1", "s1"),
            (AGENT, "r1", "s1"),
        ):
            problem(await send(client, to, run_id, session_id=session, requirements=yes), 404, "NOT_FOUND")
        assert (await look(client))["status"] == "PAUSED"
        await client.run("[[SAY hello]]", run_id="r2", session_id="s1")
        done = await send(client, run_id="r2", requirements=yes)
        assert problem(done, 409, "CONFLICT") == "run is already continued"
        await client.http.post(f"/{TEAM}/runs/r1/cancel")
        cancelled = await send(client, requirements=yes)
        assert problem(cancelled, 409, "CONFLICT") == "run is already cancelled"
    assert shop.paid == [1]


async def test_a_field_that_decides_nothing_is_named_with_the_one_to_send(shop: Shop) -> None:
    async with shop.paused() as client:
        (shown,) = (await look(client))["requirements"]
        only_id = {"id": shown["id"]}
        for requirements, words in (
            ([{**shown, "confirmed": True}], "has no field `confirmed`"),
            ([{**only_id, "decision": "skip"}], "has no field `decision`"),
            ([{**only_id, "tool_execution": {"confirmation": True}}], "has no field `confirmation`"),
        ):
            for stream in ("true", "false"):
                answer = await send(client, stream=stream, requirements=requirements)
                assert wrong_fields(answer) == [("body", "requirements")]
                text = problem(answer, 422, "VALIDATION_ERROR")
                assert words in text
                assert f"pay ({shown['id']})" in text
                assert "send `confirmation` (true: call it again, false: let it fail) or `external_execution_" in text
        not_a_text = await send(client, requirements=[{**shown, "external_execution_result": 7}])
        assert wrong_fields(not_a_text) == [("body", "requirements")]
        elsewhere = await send(client, error_requirements=[{**only_id, "decision": "skip"}])
        assert wrong_fields(elsewhere) == [("body", "error_requirements")]
        assert "is not one of `error_requirements`; send `confirmation`" in problem(elsewhere, 422, "VALIDATION_ERROR")
        assert (await look(client))["requirements"] == [shown]
    assert shop.paid == [1]


async def test_a_mistake_about_one_of_two_calls_decides_neither(shop: Shop) -> None:
    async with shop.paused(BOTH, calls=2) as client:
        one, two = (await look(client))["requirements"]
        mistaken = await send(client, requirements=[{**one, "confirmation": True}, {**two, "confirmed": True}])
        assert f"pay ({two['id']}) has no field `confirmed`" in problem(mistaken, 422, "VALIDATION_ERROR")
        assert (await look(client))["requirements"] == [one, two]
    assert sorted(shop.paid) == [1, 2]


async def test_an_agents_tools_come_back_as_they_were_shown(shop: Shop) -> None:
    async with shop.paused(to=AGENT) as client:
        tools = (await look(client, AGENT))["tools"]
        assert wrong_fields(await send(client, AGENT, tools=tools)) == [("body", "tools")]
        assert wrong_fields(await send(client, AGENT)) == [("body", "tools")]
        mistaken = await send(client, AGENT, tools=[tools[0], {**tools[1], "approved": True}])
        assert "no field `approved`; send `confirmed` (true: call it" in problem(mistaken, 422, "VALIDATION_ERROR")
        bad = await send(client, AGENT, tools="{")
        assert problem(bad, 400, "BAD_REQUEST") == "Invalid JSON in tools field"
        run = (await send(client, AGENT, tools=[tools[0], {**tools[1], "confirmed": True}])).json()
    assert (run["status"], [tool["result"] for tool in run["tools"]]) == ("COMPLETED", ["pong", "paid 1"])
    assert shop.paid == [1, 1]


# --- how the answer comes --------------------------------------------------------------------------------


async def test_a_stream_tells_what_comes_after_the_pause(shop: Shop) -> None:
    async with shop.paused(MEMBERS) as client:
        run = await look(client)
        answer = await send(client, stream=None, requirements=decided(run, confirmation=True))
        stream = Stream(answer, read_stream(answer.text))
        whole = await client.stream(MEMBERS, **RUN)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.names == [
        "TeamRunContinued",
        "RunContinued",
        "ToolCallCompleted",
        "ModelRequestStarted",
        "RunContent",
        "ModelRequestCompleted",
        "RunContentCompleted",
        "RunCompleted",
        "TeamToolCallCompleted",
        "TeamModelRequestStarted",
        "TeamRunContent",
        "TeamModelRequestCompleted",
        "TeamRunContentCompleted",
        "TeamRunCompleted",
    ]
    event = stream.one("TeamRunContinued")
    assert (event["attempt"], event["reason"], event["superseded"]) == (3, "decided", [])
    assert whole.names.count("TeamRunPaused") == 1, "a pause in the middle ends no stream that is read again"
    assert whole.events[-len(stream.events) :] == stream.events


async def test_a_stream_of_an_undecided_run_tells_the_pause_again(shop: Shop) -> None:
    async with shop.paused() as client:
        requirements = (await look(client))["requirements"]
        (event,) = read_stream((await send(client, stream="true", requirements=requirements)).text)
    assert (event["event"], event["requirements"]) == ("TeamRunPaused", requirements)
    assert event["tools_requiring_confirmation"] == [WAITING_TOOL]
    assert not {"tools_requiring_user_input", "tools_awaiting_external_execution"} & set(event)


async def test_in_the_background(shop: Shop) -> None:
    async with shop.paused() as client:
        run = await look(client)
        answer = await send(client, background="true", requirements=decided(run, confirmation=True))
        assert (answer.status_code, answer.json()) == (202, {**RUN, "status": "PENDING"})
        assert answer.headers["location"] == "/teams/demo-team/runs/r1?session_id=s1"
        done = await client.get(answer.headers["location"] + "&wait=60")
        assert done["status"] == "COMPLETED"


async def test_as_json(shop: Shop) -> None:
    async with shop.paused() as client:
        body = {"session_id": "s1", "stream": False, "requirements": decided(await look(client), confirmation=True)}
        answer = await client.http.post(f"/{TEAM}/runs/r1/continue", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")
        wrong = await client.http.post(f"/{TEAM}/runs/r1/continue", json=[])
        problem(wrong, 422, "VALIDATION_ERROR")


async def test_a_cancelled_run_takes_no_decision(shop: Shop) -> None:
    async with shop.paused() as client:
        yes = decided(await look(client), confirmation=True)
        receipt = (await client.cancel("r1")).json()
        assert receipt == {**RUN, "status": "CANCELLED", "cancel": receipt["cancel"]}
        assert receipt["cancel"]["steps"] == [], "nothing was under way"
        problem(await send(client, requirements=yes), 409, "CONFLICT")
        run = await look(client)
    assert (run["status"], run["content"]) == ("CANCELLED", "Run r1 was cancelled")
    assert "requirements" not in run


# --- the ledger ------------------------------------------------------------------------------------------


async def test_the_ledger_of_a_run(shop: Shop) -> None:
    async with shop.paused(MEMBERS) as client:
        steps = await client.get(f"/{TEAM}/runs/r1/steps", session_id="s1")
        missing = await client.http.get("/teams/other-team/runs/r1/steps", params={"session_id": "s1"})
        problem(missing, 404, "NOT_FOUND")
    assert [(step["path"], step["kind"], step["state"]) for step in steps] == [
        ("p", "prepare", "completed"),
        ("t0/m", "model", "completed"),
        ("t0/c0", "delegate", "started"),
        ("t0/c0/p", "prepare", "completed"),
        ("t0/c0/t0/m", "model", "completed"),
        ("t0/c0/t0/c0", "tool", "unknown"),
    ]
    assert steps[1] == {
        "path": "t0/m",
        "kind": "model",
        "state": "completed",
        "attempt": 1,
        "started_at": IsFloat,
        "ended_at": IsFloat,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        "cost": 0.0,
        "name": "scripted",
        "run_id": "r1",
        "parent_path": None,
        "tool_call_id": None,
        "child_run_ids": [],
        "approval_id": None,
        "error": None,
        "tries": 1,
        "attempts": [{"attempt": 1, "started_at": IsFloat, "ended_at": IsFloat, "outcome": "completed"}],
        "first_token_seconds": IsFloat,
        "retries": [],
        "settled": None,
    }
    assert (steps[-1]["attempt"], steps[-1]["ended_at"], steps[-1]["usage"]) == (2, None, None)
