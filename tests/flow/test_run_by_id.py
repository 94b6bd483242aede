"""A run by its id alone: read, followed, decided, cancelled, run again and exported, without its team and session."""

from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsFloat, IsInt, IsStr

from musterd import Agent, Team, tool
from musterd.http import run_export
from musterd.store.rows import GET_RUN_BY_ID
from tests.support.app import Sample, Serve, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, read_stream
from tests.support.tokens import Issuer, public_pem, rsa_key

DELEGATE = "Ask. [[DELEGATE writer-agent: x]]"
AUDIENCE = "musterd-test"
ISSUER = Issuer(claims={"aud": AUDIENCE})


@tool(requires_confirmation=True)
def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


def shop(*more: Agent) -> Sample:
    """A team with a tool that asks first."""
    return Sample([Team(id="shop", name="Shop", members=[], tools=[pay], model="scripted")], list(more))


# --- reading ------------------------------------------------------------------------------------------


async def test_a_run_is_what_its_team_shows_and_more(client: ServerClient) -> None:
    run = await client.run(DELEGATE, session_id="s1", user_id="u1")
    below_team = await client.get(f"/teams/demo-team/runs/{run['run_id']}", session_id="s1")
    by_id = await client.get(f"/runs/{run['run_id']}")
    (member,) = by_id["members"]
    assert {name: by_id[name] for name in below_team} == below_team
    assert (by_id["root_run_id"], by_id["path"], by_id["waiting"]) == (run["run_id"], "", 0)
    (attempt,) = by_id["attempt_list"]
    assert attempt == {
        "attempt": 1,
        "worker_id": client.server.worker.worker_id,
        "started_at": IsFloat(),
        "ended_at": IsFloat(),
        "outcome": "ended",
    }
    assert member == {
        "run_id": IsStr(),
        "parent_run_id": run["run_id"],
        "path": "t0/c0",
        "component_kind": "agent",
        "component_id": "writer-agent",
        "name": "Writer Agent",
        "model": IsStr(),
        "status": "COMPLETED",
        "task": "x",
        "started_at": IsFloat(),
        "ended_at": IsFloat(),
        "outcome": IsStr(),
    }
    of_member = await client.get(f"/runs/{member['run_id']}")
    assert (of_member["root_run_id"], of_member["path"], of_member["agent_id"]) == (
        run["run_id"],
        "t0/c0",
        "writer-agent",
    )
    assert of_member["members"] == by_id["members"]


async def test_a_summary_has_no_conversation(client: ServerClient) -> None:
    run = await client.run(DELEGATE, session_id="s1", user_id="u1")
    in_short = await client.get(f"/runs/{run['run_id']}", view="summary")
    (listed,) = (await client.get("/runs", view="summary"))["data"]
    assert {name: in_short[name] for name in listed} == listed
    assert listed == {
        "run_id": run["run_id"],
        "component_kind": "team",
        "component_id": "demo-team",
        "component_name": "Demo Team",
        "session_id": "s1",
        "session_name": DELEGATE,
        "user_id": "u1",
        "status": "COMPLETED",
        "input": DELEGATE,
        "outcome": run["content"],
        "created_at": IsFloat(),
        "queued_at": IsFloat(),
        "started_at": IsFloat(),
        "ended_at": IsFloat(),
        "attempts": 1,
        "queue_position": None,
        "waiting": 0,
        "activity": None,
        "totals": {
            "input_tokens": IsInt(gt=0),
            "output_tokens": IsInt(gt=0),
            "reasoning_tokens": 0,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "cost": 0.0,
            "model_calls": 3,
            "tool_calls": 1,
            "delegations": 1,
            "failed_calls": 0,
        },
        "cancel_requested_at": None,
    }
    assert len(in_short["members"]) == 1


async def test_a_run_of_nobody(client: ServerClient) -> None:
    run = await client.run(session_id="s1")
    for path in ("", "/steps", "/events", "/messages", "/checkpoints", "/export"):
        problem(await client.http.get(f"/runs/none{path}"), 404, "NOT_FOUND")
        problem(await client.http.get(f"/runs/{run['run_id']}{path}?session_id=other"), 404, "NOT_FOUND")
        assert (await client.http.get(f"/runs/{run['run_id']}{path}?session_id=s1")).status_code == 200
    for path in ("cancel", "rerun"):
        problem(await client.http.post(f"/runs/none/{path}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/steps", "/events", "/messages", "/checkpoints", "/checkpoints/1"])
async def test_what_is_below_a_run_is_the_same_as_below_its_team(client: ServerClient, path: str) -> None:
    run = await client.run(DELEGATE, session_id="s1")
    below_team = await client.get(f"/teams/demo-team/runs/{run['run_id']}{path}", session_id="s1")
    assert await client.get(f"/runs/{run['run_id']}{path}") == below_team


async def test_events_are_streamed(client: ServerClient) -> None:
    run = await client.run("hello", session_id="s1")
    headers = {"accept": "text/event-stream"}
    answer = await client.http.get(f"/runs/{run['run_id']}/events", headers=headers)
    events = read_stream(answer.text)
    assert events[-1]["event"] == "TeamRunCompleted"
    ended = await client.http.get(f"/runs/{run['run_id']}/events", headers={**headers, "last-event-id": "1000"})
    assert ended.status_code == 204


async def test_a_tag_changes_with_anything_that_is_shown(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    run = await client.begin(DELEGATE.replace("x", "wait"), session_id="s1")
    await hold.reached.wait()
    path, headers = f"/runs/{run.run_id}", {"if-none-match": ""}
    while (await client.get(path))["activity"]["member"] != "Writer Agent":  # until that is stored
        pass
    for view in ("full", "summary"):
        path = f"/runs/{run.run_id}?view={view}"
        answer = await client.http.get(path)
        headers = {"if-none-match": answer.headers["etag"]}
        assert (answer.json()["status"], answer.headers["retry-after"]) == ("RUNNING", "1")
        assert [member["status"] for member in answer.json()["members"]] == ["RUNNING"]
        assert [entry["outcome"] for entry in answer.json()["attempt_list"]] == ["running"]
        assert (await client.http.get(path, headers=headers)).status_code == 304
    hold.release()
    ended = await client.http.get(f"{path}&wait=60", headers=headers)
    assert (ended.status_code, ended.json()["status"]) == (200, "COMPLETED")


async def test_the_attempts_of_a_run_are_listed(database: Path) -> None:
    model = HeldModel()
    hold = model.hold("wait")
    async with in_process(app_on(database, model), model) as client:
        run = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
    async with in_process(app_on(database)) as client:
        by_id = await client.get(f"/runs/{run.run_id}", view="summary", wait=60)
        entries = [(entry["attempt"], entry["outcome"]) for entry in by_id["attempt_list"]]
        assert entries == [(1, "handed_over"), (2, "ended")]
        first, second = by_id["attempt_list"]
        assert first["started_at"] < first["ended_at"] <= second["started_at"] < second["ended_at"]
        assert (by_id["status"], by_id["attempts"]) == ("COMPLETED", 2)


async def test_a_body_is_never_older_than_its_tag(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = client.model.hold("wait")
    run = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    details = client.server.details.details

    async def after_the_end(*arguments: Any) -> Any:
        hold.release()
        await client.ended(run)
        return await details(*arguments)

    monkeypatch.setattr(client.server.details, "details", after_the_end)
    assert (await client.get(f"/runs/{run.run_id}"))["status"] == "COMPLETED"


# --- acting -------------------------------------------------------------------------------------------


async def test_a_run_is_cancelled_and_told_by_its_id(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    run = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    message = await client.http.post(f"/runs/{run.run_id}/messages", json={"message": "Be brief"})
    assert message.status_code == 202, message.text
    assert [sent["message"] for sent in await client.get(f"/runs/{run.run_id}/messages")] == ["Be brief"]
    cancelled = await client.http.post(f"/runs/{run.run_id}/cancel")
    assert cancelled.json()["status"] == "CANCELLED"


async def test_a_run_is_decided_by_its_id(database: Path) -> None:
    async with in_process(app_on(database, served=shop())) as client:
        run = await client.run('[[TOOL pay {"n": 1}]]', "teams/shop", session_id="s1")
        paused = await client.get(f"/runs/{run['run_id']}", view="summary")
        assert (paused["status"], paused["waiting"]) == ("PAUSED", 1)
        assert paused["outcome"] == "May Shop call pay?"
        assert (await client.get("/runs/counts"))["needs_you"] == 1
        assert [run_row["run_id"] for run_row in (await client.get("/runs", needs_you="true"))["data"]] == [
            run["run_id"]
        ]
        (tool_call,) = run["tools"]
        body = {"tools": [{**tool_call, "confirmed": True}], "stream": False}
        ended = await client.http.post(f"/runs/{run['run_id']}/continue", json=body)
        assert ended.json()["content"] == "Done: paid 1"
        assert (await client.get("/runs/counts"))["needs_you"] == 0


async def test_a_failed_run_is_continued_by_its_id(client: ServerClient) -> None:
    run = await client.run("[[ERROR 400]]", session_id="s1")
    answer = await client.http.post(f"/runs/{run['run_id']}/continue", data={"background": "true"})
    assert answer.status_code == 202, answer.text
    by_id = await client.get(f"/runs/{answer.json()['run_id']}", wait=60)
    assert (by_id["forked_from"], by_id["session_id"]) == (run["run_id"], "s1")


async def test_a_run_of_a_team_that_is_gone_can_be_read_and_cancelled(database: Path) -> None:
    async with in_process(app_on(database, served=shop())) as client:
        run = await client.run('[[TOOL pay {"n": 1}]]', "teams/shop", session_id="s1")
    path = f"/runs/{run['run_id']}"
    other = Sample([], [Agent(id="other", model="scripted")])
    async with in_process(app_on(database, served=other)) as client:
        assert (await client.get(path))["status"] == "PAUSED"
        for below in ("/steps", "/events", "/messages", "/checkpoints", "/export"):
            await client.get(f"{path}{below}")
        for below, body in (("continue", {}), ("messages", {"message": "x"}), ("rerun", {})):
            answer = await client.http.post(f"{path}/{below}", data=body)
            assert "team shop is no longer served here" in problem(answer, 409, "CONFLICT")
        assert (await client.http.post(f"{path}/cancel")).json()["status"] == "CANCELLED"


# --- scopes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope, may_read, may_cancel",
    [
        ("runs:run", True, True),
        ("runs:read", True, False),
        ("teams:run", True, True),
        ("teams:demo-team:run", True, True),
        ("teams:demo-team:read", True, False),
        ("teams:other-team:run", False, False),
        ("agents:run", False, False),
        ("sessions:read", False, False),
    ],
)
async def test_the_scope_of_its_team_is_enough(serve: Serve, scope: str, may_read: bool, may_cancel: bool) -> None:
    settings: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_audience": AUDIENCE}
    async with serve(auth_failures_per_minute=0, **settings) as client:
        run = await client.run(session_id="s1", headers=ISSUER.bearer("ada", "teams:run"))
        bearer = ISSUER.bearer("ada", scope)
        read = await client.http.get(f"/runs/{run['run_id']}", headers=bearer)
        cancel = await client.http.post(f"/runs/{run['run_id']}/cancel", headers=bearer)
        assert (read.status_code, cancel.status_code) == (200 if may_read else 403, 200 if may_cancel else 403)
        others = await client.http.get(f"/runs/{run['run_id']}", headers=ISSUER.bearer("eve", "runs:run"))
        problem(others, 404, "NOT_FOUND")


# --- rerun --------------------------------------------------------------------------------------------


async def test_a_rerun_has_the_same_input(client: ServerClient) -> None:
    upload = {"files": ("notes.txt", b"some notes", "text/plain")}
    run = await client.run(
        "hello",
        session_id="s1",
        user_id="u1",
        files=upload,
        metadata='{"order": 7}',
        priority="3",
        timeout_seconds="600",
    )
    answer = await client.http.post(f"/runs/{run['run_id']}/rerun", headers={"idempotency-key": "k1"})
    assert answer.status_code == 202, answer.text
    receipt = answer.json()
    assert receipt == {"run_id": IsStr(), "session_id": "s1", "status": "PENDING"}
    assert receipt["run_id"] != run["run_id"]
    again = await client.get(f"/runs/{receipt['run_id']}", wait=60)
    assert (again["status"], again["input"], again["metadata"]) == ("COMPLETED", run["input"], run["metadata"])
    assert again["user_id"] == "u1"
    row = await client.server.database.read(lambda tx: tx.one(GET_RUN_BY_ID, {"run_id": receipt["run_id"]}))
    assert row is not None
    assert (row["priority"], row["deadline_at"] is not None) == (3, True)
    repeated = await client.http.post(f"/runs/{run['run_id']}/rerun", headers={"idempotency-key": "k1"})
    assert repeated.json()["run_id"] == receipt["run_id"]
    assert repeated.headers["idempotency-replayed"] == "true"
    without_key = await client.http.post(f"/runs/{run['run_id']}/rerun")
    assert without_key.json()["run_id"] not in (run["run_id"], receipt["run_id"])


async def test_a_fork_is_run_again_from_its_beginning(client: ServerClient) -> None:
    run = await client.run("[[ERROR 400]]", session_id="s1")
    fork = (await client.http.post(f"/runs/{run['run_id']}/continue", data={"stream": "false"})).json()
    answer = await client.http.post(f"/runs/{fork['run_id']}/rerun")
    again = await client.get(f"/runs/{answer.json()['run_id']}", wait=60)
    assert (again["status"], again["input"]) == ("ERROR", run["input"])
    assert "forked_from" not in again


async def test_another_run_under_the_same_key_is_refused(client: ServerClient) -> None:
    runs = [await client.run("hello", session_id="s1") for _ in range(2)]
    key = {"idempotency-key": "k1"}
    assert (await client.http.post(f"/runs/{runs[0]['run_id']}/rerun", headers=key)).status_code == 202
    problem(await client.http.post(f"/runs/{runs[1]['run_id']}/rerun", headers=key), 409, "CONFLICT")


async def test_media_that_are_gone_cannot_be_run_again(database: Path) -> None:
    agent = Agent(id="forgetful", model="scripted", store_media=False)
    async with in_process(app_on(database, served=Sample([], [agent]))) as client:
        upload = {"files": ("notes.txt", b"some notes", "text/plain")}
        run = await client.run("hello", "agents/forgetful", session_id="s1", files=upload)
        answer = await client.http.post(f"/runs/{run['run_id']}/rerun")
        assert "no longer stored" in problem(answer, 409, "CONFLICT")
        answer = await client.http.post(f"/runs/{run['run_id']}/continue", json={"from_step": "t0/m"})
        assert "no longer stored" in problem(answer, 409, "CONFLICT")


async def test_a_members_run_is_not_run_again(client: ServerClient) -> None:
    run = await client.run(DELEGATE, session_id="s1")
    (member,) = (await client.get(f"/runs/{run['run_id']}"))["members"]
    answer = await client.http.post(f"/runs/{member['run_id']}/rerun")
    assert f"run {run['run_id']} again" in problem(answer, 409, "CONFLICT")


async def test_an_administrators_rerun_belongs_to_the_user(serve: Serve) -> None:
    settings: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_audience": AUDIENCE}
    async with serve(**settings) as client:
        ada, root = ISSUER.bearer("ada", "teams:run"), ISSUER.bearer("root", "agent_os:admin")
        run = await client.run(session_id="s1", headers=ada)
        again = (await client.http.post(f"/runs/{run['run_id']}/rerun", headers=root)).json()
        assert (await client.http.get(f"/runs/{again['run_id']}", headers=ada)).status_code == 200
        runs = (await client.http.get("/runs", params={"user_id": "ada"}, headers=root)).json()["data"]
        assert {one["run_id"] for one in runs} == {run["run_id"], again["run_id"]}


# --- export -------------------------------------------------------------------------------------------


async def test_an_export_has_everything(client: ServerClient) -> None:
    run = await client.run('Ask. [[TOOL get_weather {"city": "Rome"}]]', session_id="s0")
    exported = await client.get(f"/runs/{run['run_id']}/export")
    (call,) = [step for step in exported["steps"] if step["kind"] == "tool"]
    assert (call["name"], "Rome" in str(call["recorded"])) == ("get_weather", True)
    run = await client.run(DELEGATE, session_id="s1")
    exported = await client.get(f"/runs/{run['run_id']}/export")
    by_id = await client.get(f"/runs/{run['run_id']}")
    events = await client.get(f"/runs/{run['run_id']}/events")
    assert exported["format"] == 1
    assert exported["run"] == by_id
    assert exported["events"] == events["events"]
    assert [member["run_id"] for member in exported["members"]] == [member["run_id"] for member in by_id["members"]]
    assert exported["members"][0]["messages"]
    assert (exported["messages"], exported["approvals"]) == ([], [])
    of_member = await client.get(f"/runs/{exported['members'][0]['run_id']}/export")
    assert of_member == exported


async def test_an_export_has_questions_and_messages(database: Path) -> None:
    async with in_process(app_on(database, served=shop())) as client:
        run = await client.run('[[TOOL pay {"n": 1}]]', "teams/shop", session_id="s1")
        await client.http.post(f"/runs/{run['run_id']}/messages", json={"message": "Be brief"})
        answer = await client.http.get(f"/runs/{run['run_id']}/export")
        assert answer.headers["content-disposition"].startswith("attachment")
        exported = answer.json()
        assert [approval["tool_name"] for approval in exported["approvals"]] == ["pay"]
        assert [message["message"] for message in exported["messages"]] == ["Be brief"]


async def test_a_long_export_comes_in_pages(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_export, "STEPS_AT_A_TIME", 1)
    run = await client.run(DELEGATE, session_id="s1")
    exported = await client.get(f"/runs/{run['run_id']}/export")
    steps = await client.get(f"/runs/{run['run_id']}/steps")
    assert [{name: step[name] for name in steps[0]} for step in exported["steps"]] == steps
    assert len(steps) > 3


# --- tags of lists ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/runs", "/runs?view=summary", "/runs/counts", "/sessions", "/approvals", "/approvals/count"]
)
async def test_a_list_that_has_not_changed_is_not_sent_again(client: ServerClient, path: str) -> None:
    await client.run(session_id="s1")
    answer = await client.http.get(path)
    tag = answer.headers["etag"]
    assert tag.startswith('W/"')
    assert answer.headers["cache-control"] == "no-cache"
    same = await client.http.get(path, headers={"if-none-match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    if not path.startswith("/approvals"):
        await client.run(session_id="s2")
        other = await client.http.get(path, headers={"if-none-match": tag})
        assert (other.status_code, other.headers["etag"] == tag) == (200, False)


async def test_counts_and_search_over_http(client: ServerClient) -> None:
    await client.run("where is my parcel", session_id="s1", user_id="u1")
    await client.run("[[ERROR 400]]", session_id="s2")
    nothing = {"pending": 0, "running": 0, "paused": 0, "completed": 0, "error": 0, "cancelled": 0, "needs_you": 0}
    assert await client.get("/runs/counts") == {**nothing, "all": 2, "completed": 1, "error": 1}
    assert await client.get("/runs/counts", user_id="u1") == {**nothing, "all": 1, "completed": 1}
    assert await client.get("/runs/counts", q="Parcel") == {**nothing, "all": 1, "completed": 1}
    page = await client.get("/runs", q="PARCEL")
    assert [run["session_id"] for run in page["data"]] == ["s1"]
    assert page["meta"]["next_cursor"] is None
    answer = await client.http.get("/runs", params={"q": "x" * 201})
    assert answer.status_code == 422
