"""The TypeScript client against a server: what it starts, reads and changes is what the server has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from musterd.core import clock
from tests.support.client_drivers import ClientFailed, Driver
from tests.support.typescript import typescript_client

if TYPE_CHECKING:
    import httpx2

AGENT = {"kind": "agent"}


def run_of(client: Driver, message: str, component: str = "demo-team", **options: Any) -> dict[str, Any]:
    """A run after it has finished or paused."""
    run: dict[str, Any] = client.ask("run", component, message, options)
    return run


def test_teams_agents_and_workflows_are_listed(client: Driver, http: httpx2.Client) -> None:
    for part in ("teams", "agents", "workflows"):
        listed = client.ask(f"{part}.list")
        assert listed == http.get(f"/{part}").json()
        assert client.ask(f"{part}.get", listed[0]["id"])["name"] == listed[0]["name"]


@pytest.mark.parametrize(("kind", "component"), [("team", "demo-team"), ("agent", "solo-agent")])
def test_a_run_is_started_and_waited_for(client: Driver, http: httpx2.Client, kind: str, component: str) -> None:
    started = client.ask("start", component, "[[SAY hi]]", {"kind": kind, "metadata": {"a": 1}})
    assert set(started) == {"run_id", "session_id", "status"}
    done = client.ask("wait", started)
    assert (done["run_id"], done["status"], done["content"]) == (started["run_id"], "COMPLETED", "hi")
    assert done["metadata"] == {"a": 1}
    assert http.get(f"/runs/{done['run_id']}").json()[f"{kind}_id"] == component


def test_a_workflow_is_run(client: Driver) -> None:
    workflows = [workflow["id"] for workflow in client.ask("workflows.list")]
    run = run_of(client, "hello", workflows[0], kind="workflow")
    assert run["workflow_id"] == workflows[0]


def test_a_wait_that_is_too_short_says_so(client: Driver) -> None:
    run = client.ask("start", "demo-team", "[[WORDS 2000 20]]")
    with pytest.raises(ClientFailed, match="has not finished") as caught:
        client.ask("wait", run, {"waitSeconds": 0.05})
    assert caught.value.kind == "StillRunning"
    assert client.ask("cancel", run)["status"] == "CANCELLED"
    with pytest.raises(ClientFailed) as cancelled:
        client.ask("requireCompleted", run)
    assert cancelled.value.kind == "RunCancelled"


def test_an_idempotency_key_starts_one_run(client: Driver) -> None:
    options = {"idempotencyKey": clock.new_id()}
    first, again = [client.ask("start", "demo-team", "hello", options) for _ in range(2)]
    assert first["run_id"] == again["run_id"] != client.ask("start", "demo-team", "hello")["run_id"]
    with pytest.raises(ClientFailed) as caught:
        client.ask("start", "demo-team", "another message", options)
    assert (caught.value.kind, caught.value.status) == ("Conflict", 409)


def test_files_go_with_a_run(client: Driver) -> None:
    files = [{"$file": "notes.txt", "content": "notes"}, {"$file": "b.csv", "content": "a,b", "type": "text/csv"}]
    run = run_of(client, "hello", files=files, metadata={"a": [1]}, priority=3)
    sent = [(file["filename"], file["mime_type"]) for file in run["input"]["files"]]
    assert sent == [("notes.txt", "text/plain"), ("b.csv", "text/csv")]
    assert run["metadata"] == {"a": [1]}


def test_the_events_of_a_run_are_streamed(client: Driver) -> None:
    run = client.ask("start", "demo-team", '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Rome"}>]]')
    events = client.begin("stream", run).result()
    assert events[-1]["event"] == "TeamRunCompleted"
    assert events == client.ask("runs.events", run)["events"]
    after = events[3]["event_index"]
    assert client.begin("stream", run, {"after": after}).result() == events[4:]
    assert client.begin("stream", run, {"after": events[-1]["event_index"]}).result() == []


@pytest.mark.parametrize(
    ("message", "method", "arguments", "content"),
    [
        ('[[TOOL send_mail {"to": "ann"}]]', "approve", [], "sent to ann"),
        ('[[TOOL send_mail {"to": "ann"}]]', "approve", [{"to": "bob"}], "sent to bob"),
        ('[[TOOL browse {"url": "/x"}]]', "giveResult", ["a page"], "a page"),
        ('[[TOOL paint {"thing": "door"}]]', "fillIn", [{"color": "red"}], "door is red"),
    ],
    ids=["approved", "changed", "external", "input"],
)
def test_a_paused_run_goes_on_after_decisions(
    client: Driver, message: str, method: str, arguments: list[Any], content: str
) -> None:
    run = run_of(client, message, "solo-agent", kind="agent")
    assert run["status"] == "PAUSED"
    stream = client.begin("stream", run).result()
    assert stream[-1]["event"] == "RunPaused"
    client.ask("decide", run, method, *arguments)
    assert client.ask("wait", run)["content"].endswith(content)
    rest = client.begin("stream", run, {"after": stream[-1]["event_index"]}).result()
    assert rest[-1]["event"] == "RunCompleted"


def test_a_rejected_call_is_not_made(client: Driver) -> None:
    run = run_of(client, '[[TOOL send_mail {"to": "ann"}]]', "solo-agent", kind="agent")
    (requirement,) = client.ask("requirements", run)
    assert (requirement["kind"], requirement["name"]) == ("confirmation", "send_mail")
    assert requirement["arguments"] == {"to": "ann"}
    client.ask("decide", run, "reject", "not to her")
    assert "not to her" in client.ask("wait", run)["content"]


def test_approvals_are_listed_and_resolved_once(client: Driver) -> None:
    runs = [run_of(client, '[[TOOL send_mail {"to": "ann"}]]', "solo-agent", kind="agent") for _ in range(2)]
    first, second = [
        client.ask("approvals.list", {"status": "pending", "run_id": run["run_id"]})["data"][0] for run in runs
    ]
    assert client.ask("approvals.approve", first["id"], {"resolvedBy": "ida"})["status"] == "approved"
    assert client.ask("approvals.approve", first["id"], {"resolvedBy": "ida"})["resolved_by"] == "ida"
    with pytest.raises(ClientFailed) as caught:
        client.ask("approvals.reject", first["id"])
    assert caught.value.kind == "Conflict"
    assert client.ask("approvals.reject", second["id"], {"note": "no"})["status"] == "rejected"
    assert client.ask("wait", runs[0])["content"] == "Done: sent to ann"


def test_a_message_reaches_a_running_run(client: Driver) -> None:
    run = client.ask("start", "demo-team", "[[WORDS 2000 20]]")
    message = client.ask("steer", run, "Keep it short")
    assert [listed["id"] for listed in client.ask("runs.messages", run)] == [message["id"]]
    client.ask("cancel", run)


def test_runs_are_made_again_forked_and_continued(client: Driver) -> None:
    run = run_of(client, '[[TOOL get_weather {"city": "Rome"}]]')
    again = client.ask("wait", client.ask("rerun", run))
    assert (again["content"], again["session_id"]) == (run["content"], run["session_id"])
    steps = client.ask("runs.steps", run)
    last = [step for step in steps if step["kind"] == "model"][-1]
    forked = client.ask("wait", client.ask("fork", run, last["path"]))
    assert (forked["content"], forked["forked_from"]) == (run["content"], run["run_id"])
    (tool,) = [step for step in steps if step["kind"] == "tool"]
    assert client.ask("runs.step", run, tool["path"])["arguments"] == {"city": "Rome"}
    failed = run_of(client, "[[ERROR 400]]")
    with pytest.raises(ClientFailed, match="model_error") as caught:
        client.ask("requireCompleted", failed)
    assert caught.value.kind == "RunFailed"
    continued = client.ask("wait", client.ask("continue", failed))
    assert continued["forked_from"] == failed["run_id"]


def test_an_export_has_the_journal(client: Driver, http: httpx2.Client) -> None:
    run = run_of(client, "[[SAY hi]]")
    assert client.ask("export", run) == http.get(f"/runs/{run['run_id']}/export").json()


def test_runs_and_sessions_are_listed_and_changed(client: Driver) -> None:
    session_id = clock.new_id()
    runs = [run_of(client, f"[[SAY {number}]]", session_id=session_id) for number in range(3)]
    page = client.ask("runs.list", {"session_id": session_id, "limit": 2})
    rest = client.ask("runs.list", {"session_id": session_id, "cursor": page["meta"]["next_cursor"]})
    assert [row["run_id"] for row in [*page["data"], *rest["data"]]] == [run["run_id"] for run in reversed(runs)]
    assert client.ask("runs.summary", runs[0])["outcome"] == "0"
    assert client.ask("sessions.rename", session_id, "named")["session_name"] == "named"
    assert client.ask("sessions.get", session_id)["session_name"] == "named"
    listed = client.ask("sessions.list", {"session_name": "named", "limit": 100})["data"]
    assert session_id in [session["session_id"] for session in listed]
    (trace, *_) = client.ask("traces.list", {"session_id": session_id})["data"]
    assert client.ask("traces.get", trace["trace_id"])["tree"]
    client.ask("sessions.delete", session_id)
    with pytest.raises(ClientFailed) as caught:
        client.ask("sessions.get", session_id)
    assert (caught.value.kind, caught.value.status) == ("NotFound", 404)


def test_every_operation_is_called_by_its_path(client: Driver) -> None:
    body = {"memory": "likes tea", "topics": ["drinks"], "user_id": clock.new_id()}
    memory = client.ask("api", "POST", "/memories", {"body": body})
    path = {"params": {"path": {"memory_id": memory["memory_id"]}}}
    assert client.ask("api", "GET", "/memories/{memory_id}", path)["memory"] == "likes tea"


def test_a_value_that_is_wrong_is_named(client: Driver) -> None:
    with pytest.raises(ClientFailed, match=r"POST http://127.* was answered 422: .*\[request ") as caught:
        client.ask("start", "demo-team", "hello", {"priority": 10**10})
    assert caught.value.kind == "InvalidInput"
    assert caught.value.body == {"priority": "Input should be less than or equal to 2147483647"}


def test_a_wrong_key_is_refused_and_not_repeated(http: httpx2.Client) -> None:
    with typescript_client(str(http.base_url), token="wrong") as stranger:
        with pytest.raises(ClientFailed) as caught:
            stranger.ask("teams.list")
        assert (caught.value.kind, caught.value.status) == ("Unauthorized", 401)
        assert "wrong" not in caught.value.words.lower().replace("missing, wrong", "")


def test_a_server_that_is_not_there_is_named() -> None:
    with typescript_client("http://127.0.0.1:1", retrySeconds=0) as client:
        with pytest.raises(ClientFailed, match=r"http://127\.0\.0\.1:1 does not answer GET /teams") as caught:
            client.ask("teams.list")
        assert caught.value.kind == "CannotConnect"
