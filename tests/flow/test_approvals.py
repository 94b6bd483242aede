"""A person is asked over HTTP: how a call that waits looks, how it is decided, and the inbox of approvals."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsInt, IsStr

from musterd import Agent, Team, ask_user, tool
from musterd.core.approvals import ApprovalFilter
from musterd.core.callers import Caller
from tests.support.app import Sample, app_on, in_process
from tests.support.http import ServerClient, Stream, problem, read_stream, wrong_fields
from tests.support.loop import Call, TurnModel

TEAM, AGENT = "teams/demo-team", "agents/weather-agent"
PAY = '[[TOOL pay {"n": 1}]]'
MEMBERS = f"[[DELEGATE weather-agent: <{PAY[2:-2]}>]]"
BOOK = '[[TOOL book {"city": "Rome"}]]'
MAIL = '[[TOOL mail {"to": "Ana"}]]'
RUN = {"run_id": "r1", "session_id": "s1"}
UNDECIDED: dict[str, Any] = {
    "tool_call_id": IsStr(regex="call_.+"),
    "tool_call_error": None,
    "result": None,
    "metrics": None,
    "child_run_id": None,
    "stop_after_tool_call": False,
    "created_at": IsInt,
    "requires_confirmation": None,
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
FIELDS: list[dict[str, Any]] = [
    {"name": "city", "field_type": "str", "description": "Where to.", "value": "Rome"},
    {"name": "nights", "field_type": "int", "description": "How long.", "value": None},
]


class Shop:
    """A team and an agent whose tools ask first; what they do is counted."""

    def __init__(self, database: Path, **flags: Any) -> None:
        self.database, self.flags = database, {"requires_confirmation": True, **flags}
        self.done: list[str] = []

    def sample(self) -> Sample:
        @tool(**self.flags)
        def pay(n: int) -> str:
            """Pay."""
            self.done.append(f"paid {n}")
            return f"paid {n}"

        @tool(user_input_fields=["nights"])
        def book(city: str, nights: int) -> str:
            """Book.

            Args:
                city: Where to.
                nights: How long.
            """
            self.done.append(f"booked {nights} in {city}")
            return self.done[-1]

        @tool(external_execution=True)
        def mail(to: str) -> str:
            """Mail."""
            raise AssertionError("the client does it")

        tools = [pay, book, mail]
        one = Agent(id="weather-agent", name="Weather Agent", tools=tools, model="scripted")
        return Sample([Team(id="demo-team", name="Demo Team", members=[one], tools=tools, model="scripted")], [one])

    @contextlib.asynccontextmanager
    async def serving(self, **settings: Any) -> AsyncIterator[ServerClient]:
        async with in_process(app_on(self.database, served=self.sample(), **settings)) as client:
            yield client


@pytest.fixture
def shop(database: Path) -> Shop:
    return Shop(database)


async def send(client: ServerClient, to: str = TEAM, **fields: Any) -> Any:
    """Continue, by a form; lists as JSON."""
    data = {"session_id": "s1", "stream": "false", **fields}
    form = {name: json.dumps(value) if isinstance(value, list) else value for name, value in data.items()}
    return await client.http.post(f"/{to}/runs/r1/continue", data=form)


async def resolve(client: ServerClient, approval_id: str, status: str = "approved", **said: Any) -> Any:
    return await client.http.post(f"/approvals/{approval_id}/resolve", json={"status": status, **said})


async def pending(client: ServerClient, **query: Any) -> list[dict[str, Any]]:
    approvals: list[dict[str, Any]] = (await client.get("/approvals", status="pending", **query))["data"]
    return approvals


async def paused(client: ServerClient, message: str = PAY, to: str = TEAM) -> dict[str, Any]:
    run = await client.run(message, to, **RUN)
    assert run["status"] == "PAUSED"
    return run


async def ended(client: ServerClient, to: str = TEAM) -> dict[str, Any]:
    run: dict[str, Any] = await client.get(f"/{to}/runs/r1", session_id="s1", wait=60)
    return run


# --- the run's own client ----------------------------------------------------------------------------------


async def test_a_confirmation_in_a_stream(shop: Shop) -> None:
    async with shop.serving() as client:
        stream = await client.stream(MEMBERS, **RUN)
        assert stream.names[-2:] == ["RunPaused", "TeamRunPaused"]
        assert "ToolCallStarted" not in stream.names, "it has not begun"
        event = stream.one("TeamRunPaused")
        (requirement,) = event["requirements"]
        waiting = {**UNDECIDED, "tool_name": "pay", "tool_args": {"n": 1}, "requires_confirmation": True}
        assert requirement["tool_execution"] == waiting
        assert (requirement["kind"], requirement["member_agent_id"]) == ("confirmation", "weather-agent")
        assert event["tools_requiring_confirmation"] == event["tools"] == [waiting]
        assert event["content"].endswith("\n- Weather Agent: pay requires confirmation")
        answer = await send(client, stream="true", requirements=[{**requirement, "confirmation": True}])
        continued = Stream(answer, read_stream(answer.text))
        assert continued.names[:4] == ["TeamRunContinued", "RunContinued", "ToolCallStarted", "ToolCallCompleted"]
        run = await ended(client)
        members = await client.get("/sessions/s1/runs")
    assert (run["status"], run["content"], shop.done) == ("COMPLETED", "Done: Done: paid 1", ["paid 1"])
    (call,) = members[0]["tools"]
    assert (call["requires_confirmation"], call["confirmed"], call["result"]) == (True, True, "paid 1")


@pytest.mark.parametrize("way", ["tool_args", "user_input_schema"])
async def test_a_confirmation_with_other_arguments(shop: Shop, way: str) -> None:
    """Either as a client of AgentOS changes them, in the call itself, or as it fills a form in."""
    async with shop.serving() as client:
        (requirement,) = (await paused(client))["requirements"]
        changed = {**requirement, "confirmation": True}
        if way == "tool_args":
            changed["tool_execution"] = {**requirement["tool_execution"], "tool_args": {"n": 7}}
        else:
            changed["user_input_schema"] = [{"name": "n", "value": 7}]
        run = (await send(client, requirements=[changed])).json()
    assert (run["status"], shop.done) == ("COMPLETED", ["paid 7"])


async def test_an_agents_refusal_comes_by_its_tools(shop: Shop) -> None:
    async with shop.serving() as client:
        (requirement,) = (await paused(client, to=AGENT))["tools"]
        answer = await send(client, AGENT, tools=[{**requirement, "confirmed": False, "confirmation_note": "too dear"}])
    (call,) = answer.json()["tools"]
    assert (call["confirmed"], call["confirmation_note"], call["result"]) == (False, "too dear", "too dear")
    assert (call["tool_call_error"], shop.done) == (True, [])


@pytest.mark.parametrize("place", ["requirement", "tool"])
async def test_a_persons_input(shop: Shop, place: str) -> None:
    async with shop.serving() as client:
        run = await paused(client, BOOK)
        (requirement,) = run["requirements"]
        event = run["events"][0]
        assert requirement["user_input_schema"] == requirement["tool_execution"]["user_input_schema"] == FIELDS
        assert (requirement["tool_execution"]["requires_user_input"], requirement["kind"]) == (True, "user_input")
        assert event["tools"] == [requirement["tool_execution"]]
        unchanged = await send(client, requirements=[requirement])
        assert (unchanged.json()["status"], unchanged.json()["requirements"]) == ("PAUSED", [requirement])
        for wrong, words in (
            ("two", 'nights: "two" is not of type "integer"'),
            (None, "book needs a value for nights"),
        ):
            filled = [FIELDS[0], {**FIELDS[1], "value": wrong}]
            answered = {**requirement, "user_input_schema": filled, "confirmation": True}
            assert words in problem(await send(client, requirements=[answered]), 422, "VALIDATION_ERROR")
        filled = [FIELDS[0], {**FIELDS[1], "value": 2}]
        if place == "requirement":
            answered = {**requirement, "user_input_schema": filled}
        else:
            answered = {**requirement, "tool_execution": {**requirement["tool_execution"], "user_input_schema": filled}}
        run = (await send(client, requirements=[answered])).json()
    assert (run["status"], shop.done) == ("COMPLETED", ["booked 2 in Rome"])
    (call,) = run["tools"]
    assert (call["answered"], call["tool_args"]) == (True, {"city": "Rome", "nights": 2})
    assert call["user_input_schema"] == filled


async def test_work_that_is_done_elsewhere(shop: Shop) -> None:
    async with shop.serving() as client:
        (requirement,) = (await paused(client, MAIL))["requirements"]
        assert requirement["tool_execution"]["external_execution_required"] is True
        assert wrong_fields(await send(client, requirements=[{**requirement, "confirmation": True}])) == [
            ("body", "requirements")
        ]
        run = (await send(client, requirements=[{**requirement, "external_execution_result": "sent"}])).json()
    assert (run["status"], run["content"]) == ("COMPLETED", "Done: sent")


async def test_a_silent_call_is_not_named_in_the_paused_runs_content(shop: Shop) -> None:
    @tool(external_execution=True, external_execution_silent=True)
    def scroll() -> str:
        """Scroll."""
        raise AssertionError("the client does it")

    @tool(requires_confirmation=True)
    def pay() -> str:
        """Pay."""
        raise AssertionError("nobody has agreed")

    model = TurnModel(Call("scroll"), [Call("scroll"), Call("pay")])
    page = Agent(id="weather-agent", name="Page", tools=[scroll, pay], model=model)
    async with in_process(app_on(shop.database, served=Sample([], [page]))) as client:
        alone = await client.run("Scroll", AGENT)
        both = await client.run("Scroll, and pay", AGENT)
        (call,) = alone["tools"]
        assert (call["external_execution_required"], call["external_execution_silent"]) == (True, True)
        assert (alone["status"], alone["content"]) == ("PAUSED", "")
        assert len(both["requirements"]) == 2
        assert both["content"] == "Run paused. The following require input:\n- Page: pay requires confirmation"


async def test_a_model_that_has_the_user_choose(shop: Shop) -> None:
    options: list[dict[str, Any]] = [{"label": "red", "description": "Warm"}, {"label": "blue", "description": None}]
    question = {"question": "Which one?", "header": "Colour", "options": options, "multi_select": True}
    asking = Agent(id="weather-agent", name="Asking", tools=[ask_user], model="scripted")
    async with in_process(app_on(shop.database, served=Sample([], [asking]))) as client:
        run = await paused(client, f"[[TOOL ask_user {json.dumps({'questions': [question]})}]]", AGENT)
        (call,) = run["tools"]
        question_form = {
            **question,
            "selected_options": None,
            "options": [{**one, "selected": False} for one in options],
        }
        assert (call["requires_user_input"], call["user_input_schema"]) == (True, None)
        assert call["user_feedback_schema"] == run["requirements"][0]["user_feedback_schema"] == [question_form]
        chosen = [{**question_form, "selected_options": ["red"]}]
        done = (await send(client, AGENT, tools=[{**call, "user_feedback_schema": chosen}])).json()
    assert done["status"] == "COMPLETED"
    (call,) = done["tools"]
    assert call["result"] == 'User feedback received: [{"question": "Which one?", "selected": ["red"]}]'
    assert [one["selected"] for one in call["user_feedback_schema"][0]["options"]] == [True, False]


# --- the inbox ---------------------------------------------------------------------------------------------


async def test_what_waits_is_in_the_inbox(shop: Shop) -> None:
    async with shop.serving() as client:
        run = await paused(client, MEMBERS)
        (requirement,) = run["requirements"]
        page = await client.get("/approvals")
        assert page["meta"] == {"page": 1, "limit": 100, "total_pages": 1, "total_count": 1, "search_time_ms": 0.0}
        (approval,) = page["data"]
        assert approval == {
            "id": requirement["id"],
            **RUN,
            "status": "pending",
            "source_type": "team",
            "approval_type": None,
            "pause_type": "confirmation",
            "tool_name": "pay",
            "tool_args": {"n": 1},
            "expires_at": IsInt,
            "agent_id": "weather-agent",
            "team_id": "demo-team",
            "workflow_id": None,
            "user_id": None,
            "schedule_id": None,
            "schedule_run_id": None,
            "source_name": "Demo Team",
            "requirements": [requirement],
            "context": {"tool_names": ["pay"], "source_name": "Demo Team"},
            "resolution_data": None,
            "resolved_by": None,
            "resolved_at": None,
            "created_at": IsInt,
            "updated_at": None,
            "run_status": "PAUSED",
            "member_name": "Weather Agent",
            "member_run_id": requirement["member_run_id"],
            "task": '[[TOOL pay {"n": 1}]]',
            "tool_description": "Pay.",
            "step_path": IsStr,
            "default_decision": None,
            "tool_parameters": {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        }
        assert await client.get(f"/approvals/{approval['id']}") == approval
        assert await client.get("/approvals/count") == {"count": 1}
        matching = {"agent_id": "weather-agent", "team_id": "demo-team", "run_id": "r1", "source_type": "team"}
        for name, value in matching.items():
            assert len(await pending(client, **{name: value})) == 1, name
        others = {"agent_id": "x", "workflow_id": "w", "pause_type": "user_input", "page": "2", "user_id": "u"}
        for name, value in others.items():
            assert await pending(client, **{name: value}) == [], name
        assert wrong_fields(await client.http.get("/approvals?sort_by=expires_at")) == [("query", "sort_by")]
        assert len(await pending(client, sort_by="expires_at")) == 1
        assert wrong_fields(await client.http.get("/approvals?status=open&limit=0")) == [
            ("query", "limit"),
            ("query", "status"),
        ]


async def test_it_is_resolved_there_and_the_run_goes_on(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client, MEMBERS)
        (approval,) = await pending(client)
        now: dict[str, Any] = {"resolved_by": "ana", "resolution_data": {"ticket": 7}}
        answer = await resolve(client, approval["id"], **now)
        assert answer.status_code == 200, answer.text
        done = {
            "status": "approved",
            "resolved_at": IsInt,
            "updated_at": IsInt,
            "run_status": IsStr,
            "expires_at": None,
        }
        assert answer.json() == {**approval, **now, **done}
        assert (await ended(client))["status"] == "COMPLETED"
        status = await client.get(f"/approvals/{approval['id']}/status")
        assert status == {
            "approval_id": approval["id"],
            "status": "approved",
            "run_id": "r1",
            "resolved_at": IsInt,
            "resolved_by": "ana",
        }
        for again in ("approved", "rejected"):
            words = problem(await resolve(client, approval["id"], again), 409, "CONFLICT")
            assert words == "Approval is already 'approved' by ana and cannot be resolved"
        assert await client.get("/approvals/count") == {"count": 0}
    assert shop.done == ["paid 1"]


@pytest.mark.parametrize("to", [TEAM, AGENT])
async def test_a_run_that_the_inbox_continued_is_continued(database: Path, to: str) -> None:
    """AgentOS's clients resolve the approval and then continue the run, with the decision or without."""
    shop = Shop(database, approval="required")
    async with shop.serving() as client:
        run = await paused(client, to=to)
        (approval,) = await pending(client)
        assert (await resolve(client, approval["id"])).status_code == 200
        name = "requirements" if to == TEAM else "tools"
        yes = [{**each, "confirmation": True, "confirmed": True} for each in run[name]]
        for decision in ({}, {name: yes}):
            answer = await send(client, to, **decision)
            assert (answer.status_code, answer.json().get("status")) == (200, "COMPLETED"), answer.text
            streamed = await send(client, to, **decision, stream="true")
            events = [event["event"].removeprefix("Team") for event in read_stream(streamed.text)]
            assert (events[0], events[-1]) == ("RunContinued", "RunCompleted")
        no = [{**each, "confirmation": False, "confirmed": False} for each in run[name]]
        assert problem(await send(client, to, **{name: no}), 409, "CONFLICT") == "run is already continued"
    assert shop.done == ["paid 1"]


async def test_a_rejection_tells_the_model_why(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        await resolve(client, approval["id"], "rejected", resolution_data={"note": "too dear"})
        run = await ended(client)
        (listed,) = (await client.get("/approvals", status="rejected"))["data"]
    assert (run["tools"][0]["result"], listed["resolved_by"], shop.done) == ("too dear", "client", [])


async def test_a_call_of_the_run_itself_has_no_member(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
    assert (approval["member_name"], approval["member_run_id"]) == (None, None)
    assert (approval["task"], approval["tool_description"], approval["step_path"]) == (PAY, "Pay.", "t0/c0")


async def test_a_members_call_is_approved_with_other_arguments(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client, MEMBERS)
        (approval,) = await pending(client)
        answer = await resolve(client, approval["id"], resolution_data={"values": {"n": 7}})
        assert answer.json()["resolution_data"] == {"values": {"n": 7}}
        run = await ended(client)
        member = (await client.get("/sessions/s1/runs"))[0]
    assert (run["status"], shop.done) == ("COMPLETED", ["paid 7"])
    assert run["content"].endswith('Done: A person changed the arguments of this call: {"n":7}\npaid 7')
    assert (member["tools"][0]["tool_args"], member["tools"][0]["result"]) == ({"n": 7}, "paid 7")


async def test_a_call_is_approved_with_other_arguments(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        for values, words in (
            ({"n": "seven"}, 'n: "seven" is not of type "integer"'),
            ({"m": 7}, "pay has no field m; it has n"),
        ):
            answer = await resolve(client, approval["id"], resolution_data={"values": values})
            assert words in problem(answer, 422, "VALIDATION_ERROR")
            assert wrong_fields(answer) == [("body", "resolution_data")]
        assert [one["id"] for one in await pending(client)] == [approval["id"]], "nothing was taken"
        await resolve(client, approval["id"], resolution_data={"values": {"n": 7}, "note": "not so much"})
        run = await ended(client)
        (listed,) = (await client.get("/approvals", status="approved"))["data"]
        events = (await client.get(f"/{TEAM}/runs/r1/events", session_id="s1"))["events"]
    assert (run["status"], shop.done) == ("COMPLETED", ["paid 7"])
    assert (listed["tool_args"], listed["resolution_data"]["values"]) == ({"n": 1}, {"n": 7})
    assert (run["tools"][0]["tool_args"], run["tools"][0]["result"]) == ({"n": 7}, "paid 7")
    calls = [event["tool"]["tool_args"] for event in events if "ToolCall" in event["event"]]
    assert calls == [{"n": 7}] * 2
    called, returned = (
        message for message in run["messages"] if message.get("tool_calls") or message["role"] == "tool"
    )
    assert called["tool_calls"][0]["function"]["arguments"] == '{"n":1}', "what the model said"
    assert returned["tool_args"] == {"n": 7}
    assert returned["content"] == 'A person changed the arguments of this call: {"n":7}\npaid 7'


async def test_a_result_of_a_call_that_the_server_makes_is_refused(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        answer = await resolve(client, approval["id"], resolution_data={"result": "paid"})
        assert "pay runs on the server" in problem(answer, 422, "VALIDATION_ERROR")
        assert len(await pending(client)) == 1


async def test_input_and_results_are_resolved_there_too(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client, f"{BOOK} {MAIL}")
        one, two = sorted(await pending(client), key=lambda approval: str(approval["tool_name"]))
        problem(await resolve(client, one["id"]), 422, "VALIDATION_ERROR")
        problem(await resolve(client, two["id"]), 422, "VALIDATION_ERROR")
        assert wrong_fields(await resolve(client, one["id"], resolution_data={"values": 7})) == [
            ("body", "resolution_data", "values")
        ]
        assert len(await pending(client)) == 2
        await resolve(client, one["id"], resolution_data={"values": {"nights": 3}})
        answer = await resolve(client, two["id"], resolution_data={"result": "sent"})
        assert answer.status_code == 200, answer.text
        run = await ended(client)
        while run["status"] == "PAUSED":  # the first one's attempt has paused once more
            run = await ended(client)
    assert (run["status"], shop.done) == ("COMPLETED", ["booked 3 in Rome"])


async def test_what_the_inbox_refuses(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        for path in ("", "/status"):
            problem(await client.http.get(f"/approvals/other{path}"), 404, "NOT_FOUND")
        problem(await resolve(client, "other"), 404, "NOT_FOUND")
        problem(await client.http.delete("/approvals/other"), 404, "NOT_FOUND")
        assert wrong_fields(await resolve(client, approval["id"], "maybe")) == [("body", "status")]
        assert wrong_fields(await client.http.post(f"/approvals/{approval['id']}/resolve", json={})) == [
            ("body", "status")
        ]
        words = problem(await client.http.delete(f"/approvals/{approval['id']}"), 409, "CONFLICT")
        assert words.startswith("The run has not finished and still needs this approval")
        await client.cancel("r1")
        (cancelled,) = (await client.get("/approvals"))["data"]
        assert (cancelled["status"], cancelled["run_status"]) == ("cancelled", "CANCELLED")
        words = problem(await resolve(client, approval["id"]), 409, "CONFLICT")
        assert words == "Approval is already 'cancelled' and cannot be resolved"
        assert (await client.http.delete(f"/approvals/{approval['id']}")).status_code == 204
        assert (await client.get("/approvals"))["data"] == []


async def test_a_filter_that_no_database_takes(shop: Shop) -> None:
    async with shop.serving() as client:
        for path in ("/approvals", "/approvals/count"):
            answer = await client.http.get(path, params={"user_id": "a\0b"})
            assert wrong_fields(answer) == [("query", "user_id")]


async def test_a_decision_that_is_nested_too_deeply(shop: Shop) -> None:
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    async with shop.serving() as client:
        (requirement,) = (await paused(client, BOOK))["requirements"]
        answer = await resolve(client, requirement["id"], resolution_data={"values": {"nights": nested}})
        assert wrong_fields(answer) == [("body", "resolution_data")]
        form = [{"name": "nights", "value": nested}]
        answer = await send(client, requirements=[{**requirement, "user_input_schema": form}])
        assert wrong_fields(answer) == [("body", "requirements")]


async def test_a_deleted_session_leaves_none(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        assert (await client.http.delete("/sessions/s1")).status_code == 204
        assert await client.get("/approvals/count") == {"count": 0}
        problem(await resolve(client, approval["id"]), 404, "NOT_FOUND")


async def test_another_users_are_not_there(shop: Shop) -> None:
    async with shop.serving() as client:
        await paused(client)
        (approval,) = await pending(client)
        someone = Caller(user_id="someone", label="someone")
        assert await client.server.approvals.search(ApprovalFilter(), someone) == ([], 0)
        with pytest.raises(Exception, match="Approval not found"):
            await client.server.approvals.view(approval["id"], someone)


# --- what a tool's author says -----------------------------------------------------------------------------


async def test_a_call_that_needs_approval_is_decided_in_the_inbox_alone(database: Path) -> None:
    shop = Shop(database, requires_confirmation=False, approval="required")
    async with shop.serving() as client:
        run = await paused(client)
        (requirement,) = run["requirements"]
        assert requirement["tool_execution"]["approval_type"] == "required"
        yes = [{**requirement, "confirmation": True}]
        words = problem(await send(client, requirements=yes), 403, "FORBIDDEN")
        assert words == f"pay needs approval; decide it at POST /approvals/{requirement['id']}/resolve"
        (approval,) = await pending(client, approval_type="required")
        await resolve(client, approval["id"])
        assert (await ended(client))["status"] == "COMPLETED"
        assert (await send(client, requirements=yes)).json()["status"] == "COMPLETED", "the same decision, told again"
    assert shop.done == ["paid 1"]


async def test_an_audited_call_is_recorded_once_it_is_decided(database: Path) -> None:
    shop = Shop(database, approval="audit")
    async with shop.serving() as client:
        (requirement,) = (await paused(client))["requirements"]
        assert (await client.get("/approvals"))["data"] == []
        problem(await resolve(client, requirement["id"]), 404, "NOT_FOUND")
        await send(client, requirements=[{**requirement, "confirmation": False, "confirmation_note": "no"}])
        (approval,) = (await client.get("/approvals", approval_type="audit"))["data"]
    assert (approval["status"], approval["resolved_by"], approval["resolution_data"]) == (
        "rejected",
        "client",
        {"note": "no"},
    )


async def test_a_question_without_its_own_time_has_none_while_another_is_decided_before_its_run_fails(
    database: Path,
) -> None:
    shop = Shop(database, decide_within_seconds=3600, default_decision="reject")
    async with shop.serving() as client:
        await paused(client, f"{PAY} {BOOK}")
        by_tool = {approval["tool_name"]: approval for approval in await pending(client)}
        assert by_tool["pay"]["expires_at"] is not None
        assert by_tool["book"]["expires_at"] is None
        await resolve(client, by_tool["pay"]["id"])
        assert (await ended(client))["status"] == "PAUSED"
        (left,) = await pending(client)
    assert left["expires_at"] > by_tool["pay"]["expires_at"], "the run's limit"


async def test_until_when_is_shown(database: Path) -> None:
    shop = Shop(database, decide_within_seconds=3600, default_decision="reject")
    async with shop.serving() as client:
        (requirement,) = (await paused(client))["requirements"]
        (approval,) = await pending(client)
    assert (
        int(requirement["expires_at"]) == approval["expires_at"] == pytest.approx(approval["created_at"] + 3600, abs=1)
    )
    assert approval["default_decision"] == "reject"
