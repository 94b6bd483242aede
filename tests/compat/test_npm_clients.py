"""The clients for browsers on npm: what stands in their stores after each thing that their users do."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from musterd.core import clock
from tests.support.client_drivers import ClientFailed, Driver

FULL, LEAN = "@rodrigocoliveira/agno-client", "@antipopp/agno-client"
both = pytest.mark.parametrize("package", [FULL, LEAN])
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
    )
).decode()
DELEGATE = '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Paris"}>]]'
MAIL = '[[TOOL send_mail {"to": "ann"}]]'


class Page:
    """One client in a page of its own."""

    def __init__(self, driver: Driver, **config: Any) -> None:
        self._driver = driver
        self._config = config
        self._name = clock.new_id()

    def do(self, name: str, *args: Any) -> Any:
        """Have the client do something."""
        return self._driver.ask(name, self._name, *args, **self._config)

    def begin(self, name: str, *args: Any) -> Any:
        """Have the client do something, and go on."""
        return self._driver.begin(name, self._name, *args, **self._config)

    def send(self, message: Any, **options: Any) -> None:
        """Send a message and read its stream to the end."""
        self.do("sendMessage", message, *([options] if options else []))

    def answered(self, message: Any, **options: Any) -> None:
        """Send a message; wait for the answer, and for what the client then reads anew of its own accord."""
        before = self.look()["emitted"].count("message:refreshed")
        self.send(message, **options)
        self.do("waitForEvent", "message:refreshed", before + 1)

    def wait_for_event(self, event: str) -> None:
        """Wait until the client has emitted the event."""
        self.do("waitForEvent", event)

    def look(self) -> dict[str, Any]:
        """What stands in the client's store."""
        store: dict[str, Any] = self.do("look")
        return store

    @property
    def last(self) -> dict[str, Any]:
        """The last bubble."""
        message: dict[str, Any] = self.look()["messages"][-1]
        return message

    @property
    def state(self) -> dict[str, Any]:
        """The client's state."""
        state: dict[str, Any] = self.look()["state"]
        return state


Open = Callable[..., Page]


@pytest.fixture
def page(browser: Callable[[str], Driver]) -> Open:
    """Opens a page of the package's client, for the team or agent that is named."""

    def opened(package: str, team: str | None = "demo-team", agent: str | None = None, **config: Any) -> Page:
        chosen = {"mode": "agent", "agentId": agent} if agent else {"mode": "team", "teamId": team}
        return Page(browser(package), **chosen, dbId="musterd-db", **config)

    return opened


@both
def test_it_finds_teams_and_agents(page: Open, package: str) -> None:
    opened = page(package)
    opened.do("initialize")
    state = opened.state
    assert state["isEndpointActive"] is True
    assert {"demo-team", "state-team"} <= {team["id"] for team in state["teams"]}
    assert {"solo-agent", "weather-agent"} <= {agent["id"] for agent in state["agents"]}
    assert all(component["db_id"] and component["name"] for component in [*state["teams"], *state["agents"]])


@both
def test_a_message_is_answered_and_the_session_is_known(page: Open, package: str) -> None:
    opened = page(package)
    opened.answered("[[WORDS 30]]")
    seen = opened.look()
    user, agent = seen["messages"]
    assert (user["role"], user["content"]) == ("user", "[[WORDS 30]]")
    assert (agent["role"], agent["content"]) == ("agent", " ".join(f"word{number}" for number in range(30)))
    assert seen["session_id"]
    assert seen["state"]["isStreaming"] is False
    sessions = opened.do("fetchSessions")
    assert [item["session_name"] for item in sessions if item["session_id"] == seen["session_id"]] == ["[[WORDS 30]]"]


@both
def test_the_members_work_is_not_mixed_with_the_leaders_words(page: Open, package: str) -> None:
    opened = page(package)
    opened.answered(DELEGATE)
    answer = opened.last
    assert answer["content"] == "Done: Done: Sunny in Paris"
    assert "delegate_task_to_member" in [call["tool_name"] for call in answer["tool_calls"]]


def test_the_members_events_are_emitted(page: Open) -> None:
    opened = page(FULL, emitMemberEvents=True)
    opened.answered(DELEGATE)
    emitted = opened.look()["emitted"]
    assert {"member:started", "member:content", "member:completed"} <= set(emitted)


@both
def test_a_conversation_goes_on_in_its_session(page: Open, package: str) -> None:
    opened = page(package, agent="solo-agent")
    opened.answered("[[SAY one]]")
    first = opened.look()["session_id"]
    opened.answered("[[SAY two]]")
    seen = opened.look()
    assert seen["session_id"] == first
    assert [message["content"] for message in seen["messages"]] == ["[[SAY one]]", "one", "[[SAY two]]", "two"]


@both
def test_a_session_is_loaded_anew(page: Open, package: str) -> None:
    first = page(package)
    first.answered('[[TOOL get_weather {"city": "Rome"}]]')
    second = page(package)
    second.do("loadSession", first.look()["session_id"])
    user, answer = second.look()["messages"]
    assert user["content"] == '[[TOOL get_weather {"city": "Rome"}]]'
    assert answer["content"] == "Done: Sunny in Rome"
    (call,) = answer["tool_calls"]
    assert (call["tool_name"], call["tool_args"]) == ("get_weather", {"city": "Rome"})
    assert second.state["isStreaming"] is False


@both
def test_a_failed_run_is_told_in_words(page: Open, package: str) -> None:
    opened = page(package)
    opened.send("[[ERROR 400]]")
    seen = opened.look()
    assert "400" in seen["state"]["errorMessage"]
    assert "message:error" in seen["emitted"]
    assert seen["state"]["isStreaming"] is False


@both
def test_a_refusal_is_told_in_words(page: Open, package: str) -> None:
    opened = page(package, team="no-such-team")
    opened.send("hello")
    assert "Team not found" in opened.state["errorMessage"]


@both
def test_a_deleted_session_is_gone(page: Open, package: str) -> None:
    opened = page(package)
    opened.answered("hello")
    session_id = opened.look()["session_id"]
    opened.do("deleteSession", session_id)
    assert opened.look()["messages"] == []
    assert session_id not in [item["session_id"] for item in opened.do("fetchSessions")]


@both
def test_a_file_is_uploaded(page: Open, package: str) -> None:
    opened = page(package, agent="solo-agent")
    files = [{"name": "pixel.png", "type": "image/png", "content": PIXEL}]
    opened.answered({"$type": "FormData", "message": "[[SAY seen]]", "files": files})
    assert opened.last["content"] == "seen"
    assert opened.state.get("errorMessage") is None


@both
@pytest.mark.parametrize(
    ("message", "decision", "content"),
    [
        (MAIL, {"confirmed": True}, "Done: sent to ann"),
        ('[[TOOL browse {"url": "/x"}]]', {"result": "a page"}, "Done: a page"),
        ('[[TOOL paint {"thing": "door"}]]', {"color": "red"}, "Done: door is red"),
    ],
    ids=["approved", "external", "input"],
)
def test_a_paused_run_goes_on(page: Open, package: str, message: str, decision: dict[str, Any], content: str) -> None:
    opened = page(package, agent="solo-agent")
    opened.send(message)
    state = opened.state
    assert (state["isPaused"], state["isStreaming"]) == (True, False)
    (tool,) = state["toolsAwaitingExecution"]
    if "color" in decision:
        fields = [{**item, "value": "red"} for item in tool["user_input_schema"] if item["name"] == "color"]
        decision = {"user_input_schema": fields}
    opened.do("continueRun", [{**tool, **decision}])
    seen = opened.look()
    assert seen["messages"][-1]["content"] == content
    assert (seen["state"]["isPaused"], seen["state"]["isStreaming"]) == (False, False)
    assert seen["state"].get("errorMessage") is None


@both
def test_a_rejected_call_is_not_made(page: Open, package: str) -> None:
    opened = page(package, agent="solo-agent")
    opened.send(MAIL)
    (tool,) = opened.state["toolsAwaitingExecution"]
    opened.do("continueRun", [{**tool, "confirmed": False, "confirmation_note": "not to her"}])
    content = opened.last["content"]
    assert "not to her" in content
    assert "sent to" not in content


def test_a_paused_run_is_found_when_its_session_is_loaded(page: Open) -> None:
    first = page(FULL, agent="solo-agent")
    first.send('[[TOOL browse {"url": "/x"}]]')
    second = page(FULL, agent="solo-agent")
    second.do("loadSession", first.look()["session_id"])
    state = second.state
    assert state["isPaused"] is True
    second.do("continueRun", [{**state["toolsAwaitingExecution"][0], "result": "a page"}])
    assert second.last["content"] == "Done: a page"


def test_a_run_is_cancelled(page: Open, http: Any) -> None:
    opened = page(FULL)
    sending = opened.begin("sendMessage", "[[WORDS 400 20]]")
    while not (run_id := sending.until("state:change")["state"].get("currentRunId")):
        continue
    opened.do("cancelRun")
    sending.result()
    seen = opened.look()
    assert seen["messages"][-1]["cancelled"] is True
    assert seen["state"]["isStreaming"] is False
    query = {"session_id": seen["session_id"], "wait": 60}
    assert http.get(f"/teams/demo-team/runs/{run_id}", params=query).json()["status"] == "CANCELLED"


def test_a_detached_run_is_streamed(page: Open) -> None:
    opened = page(FULL)
    opened.answered("[[SAY hello]]", background=True)
    assert opened.last["content"] == "hello"


@pytest.mark.needs("POST /teams/{team_id}/runs/{run_id}/resume")
def test_a_run_at_work_is_resumed_when_its_session_is_loaded(page: Open, http: Any) -> None:
    session_id, words = clock.new_id(), 12
    form = {"message": f"[[WORDS {words} 1000]]", "background": "true", "stream": "true", "session_id": session_id}
    with http.stream("POST", "/teams/demo-team/runs", data=form) as stream:
        next(stream.iter_lines())
    opened = page(FULL)
    opened.do("loadSession", session_id)
    opened.wait_for_event("stream:end")
    seen = opened.look()
    assert "run:resume:meta" in seen["emitted"]
    assert "run:resume:error" not in seen["emitted"]
    assert seen["messages"][-1]["content"] == " ".join(f"word{number}" for number in range(words))
    assert seen["state"]["isStreaming"] is False


@pytest.mark.needs("POST /agents/{agent_id}/runs/{run_id}/resume")
def test_a_finished_run_is_replayed(page: Open) -> None:
    first = page(FULL, agent="solo-agent")
    first.answered("[[SAY hello]]")
    seen = first.look()
    second = page(FULL, agent="solo-agent")
    run_id = seen["messages"][-1].get("run_id")
    second.do("resumeRun", {"runId": run_id, "sessionId": seen["session_id"]})
    assert "run:resume:error" not in second.look()["emitted"]
    assert second.last["content"] == "hello"


@pytest.mark.needs("POST /sessions", "PATCH /sessions/{session_id}", "POST /sessions/{session_id}/rename")
def test_sessions_are_made_named_and_changed(page: Open) -> None:
    opened = page(FULL)
    created = opened.do("createSession", {"session_name": "made", "session_state": {"x": 1}})
    session_id = created["session_id"]
    assert created["session_name"] == "made"
    assert opened.do("renameSession", session_id, "another")["session_name"] == "another"
    opened.do("loadSession", session_id)
    assert opened.state["sessionState"] == {"x": 1}
    opened.do("mergeSessionState", {"y": 2})
    assert opened.do("getSessionById", session_id)["session_state"] == {"x": 1, "y": 2}
    opened.do("deleteMultipleSessions", [session_id])
    with pytest.raises(ClientFailed):
        opened.do("getSessionById", session_id)


def test_approvals_are_read_and_resolved(page: Open) -> None:
    opened = page(FULL, agent="solo-agent")
    opened.send(MAIL)
    run_id = opened.state["pausedRunId"]
    approvals = opened.do("fetchApprovals", {"status": "pending", "run_id": run_id})
    (approval,) = approvals["data"]
    assert opened.do("getApprovalById", approval["id"])["status"] == "pending"
    assert opened.do("getApprovalStatus", approval["id"])["status"] == "pending"
    resolved = opened.do("resolveApproval", approval["id"], {"status": "approved"})
    assert resolved["status"] == "approved"
    assert opened.do("getApprovalCount")["count"] >= 0


@pytest.mark.needs("GET /memories", "POST /memories")
def test_memories_of_the_full_client(page: Open) -> None:
    user = clock.new_id()
    opened = page(FULL, userId=user)
    created = opened.do("createMemory", {"memory": "likes tea", "topics": ["drinks"], "user_id": user})
    assert [item["memory"] for item in opened.do("fetchMemories", {"user_id": user})["data"]] == ["likes tea"]
    opened.do("deleteMemory", created["memory_id"])
    assert opened.do("fetchMemories", {"user_id": user})["data"] == []


@pytest.mark.needs("GET /traces", "GET /traces/{trace_id}", "GET /metrics")
def test_traces_and_metrics_of_the_full_client(page: Open) -> None:
    opened = page(FULL)
    opened.send("hello")
    traces = opened.do("fetchTraces", {"session_id": opened.look()["session_id"]})
    (trace,) = traces["traces"] if "traces" in traces else traces["data"]
    assert opened.do("getTraceDetail", trace["trace_id"])["tree"]
    assert opened.do("fetchMetrics")["metrics"] is not None
