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
from tests.support.http import House, Stream, problem, read_stream, wrong_fields
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
    async def serving(self, **settings: Any) -> AsyncIterator[House]:
        async with in_process(app_on(self.database, served=self.sample(), **settings)) as house:
            yield house


@pytest.fixture
def shop(database: Path) -> Shop:
    return Shop(database)


async def send(house: House, to: str = TEAM, **fields: Any) -> Any:
    """Continue, by a form; lists as JSON."""
    data = {"session_id": "s1", "stream": "false", **fields}
    form = {name: json.dumps(value) if isinstance(value, list) else value for name, value in data.items()}
    return await house.http.post(f"/{to}/runs/r1/continue", data=form)


async def resolve(house: House, approval_id: str, status: str = "approved", **said: Any) -> Any:
    return await house.http.post(f"/approvals/{approval_id}/resolve", json={"status": status, **said})


async def pending(house: House, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await house.get("/approvals", status="pending", **query))["data"]
    return found


async def paused(house: House, message: str = PAY, to: str = TEAM) -> dict[str, Any]:
    run = await house.run(message, to, **RUN)
    assert run["status"] == "PAUSED"
    return run


async def ended(house: House, to: str = TEAM) -> dict[str, Any]:
    found: dict[str, Any] = await house.get(f"/{to}/runs/r1", session_id="s1", wait=60)
    return found


# --- the run's own client ----------------------------------------------------------------------------------


async def test_a_confirmation_in_a_stream(shop: Shop) -> None:
    async with shop.serving() as house:
        stream = await house.stream(MEMBERS, **RUN)
        assert stream.names[-2:] == ["RunPaused", "TeamRunPaused"]
        assert "ToolCallStarted" not in stream.names, "it has not begun"
        told = stream.one("TeamRunPaused")
        (asked,) = told["requirements"]
        waiting = {**UNDECIDED, "tool_name": "pay", "tool_args": {"n": 1}, "requires_confirmation": True}
        assert asked["tool_execution"] == waiting
        assert (asked["kind"], asked["member_agent_id"]) == ("confirmation", "weather-agent")
        assert told["tools_requiring_confirmation"] == told["tools"] == [waiting]
        assert told["content"].endswith("\n- Weather Agent: pay requires confirmation")
        answer = await send(house, stream="true", requirements=[{**asked, "confirmation": True}])
        continued = Stream(answer, read_stream(answer.text))
        assert continued.names[:4] == ["TeamRunContinued", "RunContinued", "ToolCallStarted", "ToolCallCompleted"]
        run = await ended(house)
        members = await house.get("/sessions/s1/runs")
    assert (run["status"], run["content"], shop.done) == ("COMPLETED", "Done: Done: paid 1", ["paid 1"])
    (call,) = members[0]["tools"]
    assert (call["requires_confirmation"], call["confirmed"], call["result"]) == (True, True, "paid 1")


@pytest.mark.parametrize("way", ["tool_args", "user_input_schema"])
async def test_a_confirmation_with_other_arguments(shop: Shop, way: str) -> None:
    """Either as a client of AgentOS changes them, in the call itself, or as it fills a form in."""
    async with shop.serving() as house:
        (asked,) = (await paused(house))["requirements"]
        changed = {**asked, "confirmation": True}
        if way == "tool_args":
            changed["tool_execution"] = {**asked["tool_execution"], "tool_args": {"n": 7}}
        else:
            changed["user_input_schema"] = [{"name": "n", "value": 7}]
        run = (await send(house, requirements=[changed])).json()
    assert (run["status"], shop.done) == ("COMPLETED", ["paid 7"])


async def test_an_agents_refusal_comes_by_its_tools(shop: Shop) -> None:
    async with shop.serving() as house:
        (asked,) = (await paused(house, to=AGENT))["tools"]
        answer = await send(house, AGENT, tools=[{**asked, "confirmed": False, "confirmation_note": "too dear"}])
    (call,) = answer.json()["tools"]
    assert (call["confirmed"], call["confirmation_note"], call["result"]) == (False, "too dear", "too dear")
    assert (call["tool_call_error"], shop.done) == (True, [])


@pytest.mark.parametrize("place", ["requirement", "tool"])
async def test_a_persons_input(shop: Shop, place: str) -> None:
    async with shop.serving() as house:
        run = await paused(house, BOOK)
        (asked,) = run["requirements"]
        event = run["events"][0]
        assert asked["user_input_schema"] == asked["tool_execution"]["user_input_schema"] == FIELDS
        assert (asked["tool_execution"]["requires_user_input"], asked["kind"]) == (True, "user_input")
        assert event["tools"] == [asked["tool_execution"]]
        unchanged = await send(house, requirements=[asked])
        assert (unchanged.json()["status"], unchanged.json()["requirements"]) == ("PAUSED", [asked])
        for wrong, words in (
            ("two", 'nights: "two" is not of type "integer"'),
            (None, "book needs a value for nights"),
        ):
            filled = [FIELDS[0], {**FIELDS[1], "value": wrong}]
            given = {**asked, "user_input_schema": filled, "confirmation": True}
            assert words in problem(await send(house, requirements=[given]), 422, "VALIDATION_ERROR")
        filled = [FIELDS[0], {**FIELDS[1], "value": 2}]
        if place == "requirement":
            given = {**asked, "user_input_schema": filled}
        else:
            given = {**asked, "tool_execution": {**asked["tool_execution"], "user_input_schema": filled}}
        run = (await send(house, requirements=[given])).json()
    assert (run["status"], shop.done) == ("COMPLETED", ["booked 2 in Rome"])
    (call,) = run["tools"]
    assert (call["answered"], call["tool_args"]) == (True, {"city": "Rome", "nights": 2})
    assert call["user_input_schema"] == filled


async def test_work_that_is_done_elsewhere(shop: Shop) -> None:
    async with shop.serving() as house:
        (asked,) = (await paused(house, MAIL))["requirements"]
        assert asked["tool_execution"]["external_execution_required"] is True
        assert wrong_fields(await send(house, requirements=[{**asked, "confirmation": True}])) == [
            ("body", "requirements")
        ]
        run = (await send(house, requirements=[{**asked, "external_execution_result": "sent"}])).json()
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
    async with in_process(app_on(shop.database, served=Sample([], [page]))) as house:
        alone = await house.run("Scroll", AGENT)
        both = await house.run("Scroll, and pay", AGENT)
        (call,) = alone["tools"]
        assert (call["external_execution_required"], call["external_execution_silent"]) == (True, True)
        assert (alone["status"], alone["content"]) == ("PAUSED", "")
        assert len(both["requirements"]) == 2
        assert both["content"] == "Run paused. The following require input:\n- Page: pay requires confirmation"


async def test_a_model_that_has_the_user_choose(shop: Shop) -> None:
    options: list[dict[str, Any]] = [{"label": "red", "description": "Warm"}, {"label": "blue", "description": None}]
    question = {"question": "Which one?", "header": "Colour", "options": options, "multi_select": True}
    asking = Agent(id="weather-agent", name="Asking", tools=[ask_user], model="scripted")
    async with in_process(app_on(shop.database, served=Sample([], [asking]))) as house:
        run = await paused(house, f"[[TOOL ask_user {json.dumps({'questions': [question]})}]]", AGENT)
        (call,) = run["tools"]
        shown = {**question, "selected_options": None, "options": [{**one, "selected": False} for one in options]}
        assert (call["requires_user_input"], call["user_input_schema"]) == (True, None)
        assert call["user_feedback_schema"] == run["requirements"][0]["user_feedback_schema"] == [shown]
        chosen = [{**shown, "selected_options": ["red"]}]
        done = (await send(house, AGENT, tools=[{**call, "user_feedback_schema": chosen}])).json()
    assert done["status"] == "COMPLETED"
    (call,) = done["tools"]
    assert call["result"] == 'User feedback received: [{"question": "Which one?", "selected": ["red"]}]'
    assert [one["selected"] for one in call["user_feedback_schema"][0]["options"]] == [True, False]


# --- the inbox ---------------------------------------------------------------------------------------------


async def test_what_waits_is_in_the_inbox(shop: Shop) -> None:
    async with shop.serving() as house:
        run = await paused(house, MEMBERS)
        (asked,) = run["requirements"]
        page = await house.get("/approvals")
        assert page["meta"] == {"page": 1, "limit": 100, "total_pages": 1, "total_count": 1, "search_time_ms": 0.0}
        (found,) = page["data"]
        assert found == {
            "id": asked["id"],
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
            "requirements": [asked],
            "context": {"tool_names": ["pay"], "source_name": "Demo Team"},
            "resolution_data": None,
            "resolved_by": None,
            "resolved_at": None,
            "created_at": IsInt,
            "updated_at": None,
            "run_status": "PAUSED",
        }
        assert await house.get(f"/approvals/{found['id']}") == found
        assert await house.get("/approvals/count") == {"count": 1}
        matching = {"agent_id": "weather-agent", "team_id": "demo-team", "run_id": "r1", "source_type": "team"}
        for name, value in matching.items():
            assert len(await pending(house, **{name: value})) == 1, name
        others = {"agent_id": "x", "workflow_id": "w", "pause_type": "user_input", "page": "2", "user_id": "u"}
        for name, value in others.items():
            assert await pending(house, **{name: value}) == [], name
        assert wrong_fields(await house.http.get("/approvals?status=open&limit=0")) == [
            ("query", "limit"),
            ("query", "status"),
        ]


async def test_it_is_resolved_there_and_the_run_goes_on(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house, MEMBERS)
        (found,) = await pending(house)
        now: dict[str, Any] = {"resolved_by": "ana", "resolution_data": {"ticket": 7}}
        answer = await resolve(house, found["id"], **now)
        assert answer.status_code == 200, answer.text
        done = {
            "status": "approved",
            "resolved_at": IsInt,
            "updated_at": IsInt,
            "run_status": IsStr,
            "expires_at": None,
        }
        assert answer.json() == {**found, **now, **done}
        assert (await ended(house))["status"] == "COMPLETED"
        status = await house.get(f"/approvals/{found['id']}/status")
        assert status == {
            "approval_id": found["id"],
            "status": "approved",
            "run_id": "r1",
            "resolved_at": IsInt,
            "resolved_by": "ana",
        }
        for again in ("approved", "rejected"):
            words = problem(await resolve(house, found["id"], again), 409, "CONFLICT")
            assert words == "Approval is already 'approved' by ana and cannot be resolved"
        assert await house.get("/approvals/count") == {"count": 0}
    assert shop.done == ["paid 1"]


async def test_a_rejection_tells_the_model_why(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        await resolve(house, found["id"], "rejected", resolution_data={"note": "too dear"})
        run = await ended(house)
        (listed,) = (await house.get("/approvals", status="rejected"))["data"]
    assert (run["tools"][0]["result"], listed["resolved_by"], shop.done) == ("too dear", "client", [])


async def test_a_call_is_approved_with_other_arguments(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        for values, words in (
            ({"n": "seven"}, 'n: "seven" is not of type "integer"'),
            ({"m": 7}, "pay has no field m; it has n"),
        ):
            answer = await resolve(house, found["id"], resolution_data={"values": values})
            assert words in problem(answer, 422, "VALIDATION_ERROR")
            assert wrong_fields(answer) == [("body", "resolution_data")]
        assert [one["id"] for one in await pending(house)] == [found["id"]], "nothing was taken"
        await resolve(house, found["id"], resolution_data={"values": {"n": 7}, "note": "not so much"})
        run = await ended(house)
        (listed,) = (await house.get("/approvals", status="approved"))["data"]
        events = (await house.get(f"/{TEAM}/runs/r1/events", session_id="s1"))["events"]
    assert (run["status"], shop.done) == ("COMPLETED", ["paid 7"])
    assert (listed["tool_args"], listed["resolution_data"]["values"]) == ({"n": 1}, {"n": 7})
    assert (run["tools"][0]["tool_args"], run["tools"][0]["result"]) == ({"n": 7}, "paid 7")
    told = [event["tool"]["tool_args"] for event in events if "ToolCall" in event["event"]]
    assert told == [{"n": 7}] * 2
    called, returned = (
        message for message in run["messages"] if message.get("tool_calls") or message["role"] == "tool"
    )
    assert called["tool_calls"][0]["function"]["arguments"] == '{"n":1}', "what the model said"
    assert returned["tool_args"] == {"n": 7}
    assert returned["content"] == 'A person changed the arguments of this call: {"n":7}\npaid 7'


async def test_a_result_of_a_call_that_the_server_makes_is_refused(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        answer = await resolve(house, found["id"], resolution_data={"result": "paid"})
        assert "pay runs on the server" in problem(answer, 422, "VALIDATION_ERROR")
        assert len(await pending(house)) == 1


async def test_input_and_results_are_resolved_there_too(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house, f"{BOOK} {MAIL}")
        one, two = sorted(await pending(house), key=lambda found: str(found["tool_name"]))
        problem(await resolve(house, one["id"]), 422, "VALIDATION_ERROR")
        problem(await resolve(house, two["id"]), 422, "VALIDATION_ERROR")
        assert wrong_fields(await resolve(house, one["id"], resolution_data={"values": 7})) == [
            ("body", "resolution_data", "values")
        ]
        assert len(await pending(house)) == 2
        await resolve(house, one["id"], resolution_data={"values": {"nights": 3}})
        answer = await resolve(house, two["id"], resolution_data={"result": "sent"})
        assert answer.status_code == 200, answer.text
        run = await ended(house)
        while run["status"] == "PAUSED":  # the first one's attempt has paused once more
            run = await ended(house)
    assert (run["status"], shop.done) == ("COMPLETED", ["booked 3 in Rome"])


async def test_what_the_inbox_refuses(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        for path in ("", "/status"):
            problem(await house.http.get(f"/approvals/other{path}"), 404, "NOT_FOUND")
        problem(await resolve(house, "other"), 404, "NOT_FOUND")
        problem(await house.http.delete("/approvals/other"), 404, "NOT_FOUND")
        assert wrong_fields(await resolve(house, found["id"], "maybe")) == [("body", "status")]
        assert wrong_fields(await house.http.post(f"/approvals/{found['id']}/resolve", json={})) == [("body", "status")]
        words = problem(await house.http.delete(f"/approvals/{found['id']}"), 409, "CONFLICT")
        assert words.startswith("The run has not finished and still needs this approval")
        await house.cancel("r1")
        (cancelled,) = (await house.get("/approvals"))["data"]
        assert (cancelled["status"], cancelled["run_status"]) == ("cancelled", "CANCELLED")
        words = problem(await resolve(house, found["id"]), 409, "CONFLICT")
        assert words == "Approval is already 'cancelled' and cannot be resolved"
        assert (await house.http.delete(f"/approvals/{found['id']}")).status_code == 204
        assert (await house.get("/approvals"))["data"] == []


async def test_a_filter_that_no_database_takes(shop: Shop) -> None:
    async with shop.serving() as house:
        for path in ("/approvals", "/approvals/count"):
            answer = await house.http.get(path, params={"user_id": "a\0b"})
            assert wrong_fields(answer) == [("query", "user_id")]


async def test_a_decision_that_is_nested_too_deeply(shop: Shop) -> None:
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    async with shop.serving() as house:
        (asked,) = (await paused(house, BOOK))["requirements"]
        answer = await resolve(house, asked["id"], resolution_data={"values": {"nights": nested}})
        assert wrong_fields(answer) == [("body", "resolution_data")]
        form = [{"name": "nights", "value": nested}]
        answer = await send(house, requirements=[{**asked, "user_input_schema": form}])
        assert wrong_fields(answer) == [("body", "requirements")]


async def test_a_deleted_session_leaves_none(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        assert (await house.http.delete("/sessions/s1")).status_code == 204
        assert await house.get("/approvals/count") == {"count": 0}
        problem(await resolve(house, found["id"]), 404, "NOT_FOUND")


async def test_another_users_are_not_there(shop: Shop) -> None:
    async with shop.serving() as house:
        await paused(house)
        (found,) = await pending(house)
        someone = Caller(user_id="someone", label="someone")
        assert await house.server.approvals.search(ApprovalFilter(), someone) == ([], 0)
        with pytest.raises(Exception, match="Approval not found"):
            await house.server.approvals.view(found["id"], someone)


# --- what a tool's author says -----------------------------------------------------------------------------


async def test_a_call_that_needs_approval_is_decided_in_the_inbox_alone(database: Path) -> None:
    shop = Shop(database, requires_confirmation=False, approval="required")
    async with shop.serving() as house:
        run = await paused(house)
        (asked,) = run["requirements"]
        assert asked["tool_execution"]["approval_type"] == "required"
        yes = [{**asked, "confirmation": True}]
        words = problem(await send(house, requirements=yes), 403, "FORBIDDEN")
        assert words == f"pay needs approval; decide it at POST /approvals/{asked['id']}/resolve"
        (found,) = await pending(house, approval_type="required")
        await resolve(house, found["id"])
        assert (await ended(house))["status"] == "COMPLETED"
        assert (await send(house, requirements=yes)).json()["status"] == "COMPLETED", "the same decision, told again"
    assert shop.done == ["paid 1"]


async def test_an_audited_call_is_recorded_once_it_is_decided(database: Path) -> None:
    shop = Shop(database, approval="audit")
    async with shop.serving() as house:
        (asked,) = (await paused(house))["requirements"]
        assert (await house.get("/approvals"))["data"] == []
        problem(await resolve(house, asked["id"]), 404, "NOT_FOUND")
        await send(house, requirements=[{**asked, "confirmation": False, "confirmation_note": "no"}])
        (found,) = (await house.get("/approvals", approval_type="audit"))["data"]
    assert (found["status"], found["resolved_by"], found["resolution_data"]) == ("rejected", "client", {"note": "no"})


async def test_until_when_is_shown(database: Path) -> None:
    shop = Shop(database, decide_within_seconds=3600, default_decision="reject")
    async with shop.serving() as house:
        (asked,) = (await paused(house))["requirements"]
        (found,) = await pending(house)
    assert int(asked["expires_at"]) == found["expires_at"] == pytest.approx(found["created_at"] + 3600, abs=1)
