"""Workflows over HTTP: lists, details, runs, streams and sessions, as AgentOS 2.5.6 was recorded to answer."""

from typing import Any

import pytest
from dirty_equals import IsFloat, IsInt, IsStr

from tests.support.app import Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem
from tests.support.tokens import Issuer, public_pem, rsa_key
from tests.support.workflows import workflow_sample

IS_ID = IsStr(regex=r"[0-9a-f]{8}-[0-9a-f-]{27}")
STEP = ("step_id", "step_name", "step_index")
FUNCTION_OUTPUT = {
    "step_type": "Step",
    "executor_type": "function",
    "step_run_id": None,
    "images": None,
    "videos": None,
    "audio": None,
    "files": None,
    "metrics": None,
    "success": True,
    "error": None,
    "stop": False,
}


@pytest.fixture
async def client(serve: Serve) -> Any:
    """The recorded workflows."""
    model = HeldModel()
    async with serve(served=workflow_sample(model), model=model) as serving:
        yield serving


def shout(content: str, **changes: Any) -> dict[str, Any]:
    """The output of a step of the function ``up``."""
    return {"content": content, "step_id": IS_ID, "executor_name": "up", **FUNCTION_OUTPUT, **changes}


# --- lists and details --------------------------------------------------------------------------------


async def test_the_list(client: ServerClient) -> None:
    first, *_ = listed = await client.get("/workflows")
    assert first == {
        "id": "seq",
        "name": "seq",
        "description": "d seq",
        "db_id": "musterd-db",
        "is_component": False,
    }
    config, info = await client.get("/config"), await client.get("/info")
    assert config["workflows"] == listed
    assert info["workflow_count"] == len(listed)


async def test_a_detail_has_the_declared_steps(client: ServerClient) -> None:
    seq, cond = await client.get("/workflows/seq"), await client.get("/workflows/cond")
    research, up, crew = seq["steps"]
    assert (research["name"], research["description"], research["type"]) == ("research", "find out", "Step")
    assert research["agent"] == await client.get("/agents/researcher")
    assert crew["team"]["members"][0]["id"] == "c-writer"
    assert up == {"name": "shout", "type": "Step", "step_id": IS_ID, "max_retries": 3, "on_error": "fail"}
    assert (seq["workflow_agent"], seq["is_component"]) == (False, False)
    rainy, _ = cond["steps"]
    assert (rainy["type"], rainy["steps"][0]["name"], rainy["else_steps"][0]["name"]) == (
        "Condition",
        "umbrella",
        "sun",
    )


async def test_a_detail_has_what_asks_a_person(client: ServerClient) -> None:
    danger = (await client.get("/workflows/hitl"))["steps"][1]
    assert danger["requires_confirmation"] is True
    ask = (await client.get("/workflows/hitl-input"))["steps"][0]
    assert (ask["requires_user_input"], ask["user_input_schema"][0]["name"]) == (True, "color")


async def test_input_schemas(client: ServerClient) -> None:
    schema, function = await client.get("/workflows/schema"), await client.get("/workflows/fn")
    assert schema["input_schema"]["required"] == ["topic"]
    assert function["input_schema"]["properties"]["tone"]["default"] == "dry"
    assert function["steps"] == []
    unknown = await client.http.get("/workflows/nope")
    assert problem(unknown, 404, "NOT_FOUND") == "Workflow not found"


# --- runs -----------------------------------------------------------------------------------------------


async def test_a_run(client: ServerClient) -> None:
    done = await client.run("hello", to="workflows/seq", session_id="s1", user_id="u1", metadata='{"k": 1}')
    results, runs = done["step_results"], done["step_executor_runs"]
    assert done == {
        "input": "hello",
        "content": "Echo: UP(Echo: hello)",
        "content_type": "str",
        "workflow_id": "seq",
        "workflow_name": "seq",
        "run_id": IS_ID,
        "session_id": "s1",
        "user_id": "u1",
        "created_at": IsInt,
        "status": "COMPLETED",
        "images": [],
        "videos": [],
        "audio": [],
        "files": [],
        "step_results": results,
        "step_executor_runs": runs,
        "metrics": done["metrics"],
        "metadata": {"k": 1},
        "attempts": 1,
        "queued_at": IsFloat,
        "started_at": IsFloat,
        "ended_at": IsFloat,
        "totals": done["totals"],
    }
    assert results[1] == shout("UP(Echo: hello)", step_name="shout")
    assert (results[0]["executor_type"], results[2]["executor_type"]) == ("agent", "team")
    assert [run["workflow_step_id"] for run in runs] == [results[0]["step_id"], results[2]["step_id"]]
    assert [run["run_id"] for run in runs] == [results[0]["step_run_id"], results[2]["step_run_id"]]
    assert {run["parent_run_id"] for run in runs} == {done["run_id"]}
    assert runs[0]["agent_id"] == "researcher"
    assert runs[1]["team_id"] == "crew"
    assert list(done["metrics"]["steps"]) == ["research", "crew"]
    assert done["metrics"]["steps"]["research"]["metrics"]["total_tokens"] == 15
    assert done["totals"]["model_calls"] == 2


async def test_get_tells_the_same(client: ServerClient) -> None:
    done = await client.run("hello", to="workflows/nested", session_id="s1")
    got = await client.get(f"/workflows/nested/runs/{done['run_id']}", session_id="s1")
    assert got.pop("events") == []
    assert {**got, "images": [], "videos": [], "audio": [], "files": []} == done
    assert await client.get(f"/runs/{done['run_id']}/steps")


async def test_containers_tell_what_became_of_them(client: ServerClient) -> None:
    par, loop = await client.run(to="workflows/par"), await client.run(to="workflows/loop")
    both = par["step_results"][0]
    assert both["content"] == (
        "## Parallel Execution Results\n\n### ✅ SUCCESS: p1\nEcho: hello\n\n### ✅ SUCCESS: p2\nUP(hello)\n\n"
        "### ✅ SUCCESS: p3\nEcho: hello"
    )
    assert (both["step_type"], both["executor_type"], len(both["steps"])) == ("Parallel", "parallel", 3)
    assert loop["step_results"][0]["content"] == "Loop again completed 3 iterations with 6 total steps"
    assert len(loop["step_results"][0]["steps"]) == 6
    routed, rain = await client.run("up", to="workflows/route"), await client.run("rain", to="workflows/cond")
    assert routed["step_results"][0]["content"] == "Router way completed with 1 results"
    assert rain["step_results"][0]["content"] == "Condition rainy completed with 1 results (if branch)"
    assert (await client.run(to="workflows/steps"))["step_results"][0]["content"] == (
        "Steps group completed with 2 results"
    )


async def test_the_step_id_is_the_same_in_every_run(client: ServerClient) -> None:
    first, second = await client.run(to="workflows/early"), await client.run(to="workflows/early")
    declared = (await client.get("/workflows/early"))["steps"][0]["step_id"]
    assert {run["step_results"][0]["step_id"] for run in (first, second)} == {declared}


async def test_a_failed_run_says_which_step(client: ServerClient) -> None:
    failed = await client.run(to="workflows/fail")
    assert (failed["status"], failed["content"]) == ("ERROR", "Step 'bad' failed: boom in step")
    (event,) = failed["events"]
    assert (event["event"], event["error"]) == ("WorkflowError", failed["content"])
    assert failed["error"]["message"] == failed["content"]


async def test_a_skipped_step_shows_its_error(client: ServerClient) -> None:
    done = await client.run(to="workflows/fail-skip")
    bad, after = done["step_results"]
    assert (bad["success"], bad["error"], bad["content"]) == (
        *(False, "boom in step"),
        "Step skipped due to error: boom in step",
    )
    assert (done["status"], after["step_name"]) == ("COMPLETED", "next")


async def test_session_state(client: ServerClient) -> None:
    first = await client.run(to="workflows/state", session_id="s1")
    second = await client.run(to="workflows/state", session_id="s1")
    third = await client.run(to="workflows/state", session_state='{"n": 41}')
    assert [run["content"] for run in (first, second, third)] == ["n=11", "n=12", "n=42"]


async def test_further_fields_are_arguments_of_a_function(client: ServerClient) -> None:
    warm = await client.run(to="workflows/fn", tone="warm", unknown="ignored")
    assert warm["content"] == "whole(warm): hello"
    assert (await client.run(to="workflows/fn"))["content"] == "whole(dry): hello"


async def test_a_message_of_the_input_schema(client: ServerClient) -> None:
    done = await client.run('{"topic": "tea"}', to="workflows/schema")
    assert done["input"] == {"topic": "tea", "n": 1}
    wrong = await client.post("tea", to="workflows/schema", stream="true")
    assert "Topic" in problem(wrong, 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("state", ["[1]", "{no"])
async def test_a_session_state_that_is_no_object(client: ServerClient, state: str) -> None:
    problem(await client.post(to="workflows/seq", session_state=state), 422, "VALIDATION_ERROR")


async def test_background(client: ServerClient) -> None:
    accepted = await client.post(to="workflows/early", background="true")
    body = accepted.json()
    assert accepted.status_code == 202
    assert (body["status"], body["input"], body["metrics"]) == ("PENDING", "hello", {"steps": {}, "duration": None})
    assert accepted.headers["location"].startswith(f"/workflows/early/runs/{body['run_id']}?session_id=")
    done = await client.get(accepted.headers["location"] + "&wait=60")
    assert done["content"] == "stopped early"


async def test_a_run_under_another_workflow_is_not_found(client: ServerClient) -> None:
    done = await client.run(to="workflows/early", session_id="s1")
    answer = await client.http.get(f"/workflows/seq/runs/{done['run_id']}", params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Run not found"
    problem(await client.cancel("nope", to="workflows/seq"), 404, "NOT_FOUND")
    missing = await client.http.get(f"/workflows/seq/runs/{done['run_id']}")
    problem(missing, 422, "VALIDATION_ERROR")


async def test_a_failed_run_goes_on_in_a_new_one(client: ServerClient) -> None:
    failed = await client.run(to="workflows/fail", session_id="s1")
    answer = await client.http.post(
        f"/workflows/fail/runs/{failed['run_id']}/continue", data={"session_id": "s1", "stream": "false"}
    )
    again = answer.json()
    assert answer.status_code == 200, answer.text
    assert (again["forked_from"], again["status"]) == (failed["run_id"], "ERROR")


# --- streams --------------------------------------------------------------------------------------------


async def test_events_of_a_steps_run_name_the_step(client: ServerClient) -> None:
    stream = await client.stream(to="workflows/par")
    started = {event["step_name"]: event for event in stream.all("StepStarted")}
    run_id = stream.one("WorkflowStarted")["run_id"]
    for name, step in (("RunContent", "p1"), ("TeamRunCompleted", "p3")):
        event = next(event for event in stream.all(name) if event["step_name"] == step)
        assert {key: event[key] for key in STEP} == {key: started[step][key] for key in STEP}
        assert (event["workflow_id"], event["workflow_run_id"]) == ("par", run_id)
        assert "workflow_name" not in event
    assert started["p1"]["step_index"] == [0, 0]
    assert started["p1"]["parent_step_id"] == stream.one("ParallelExecutionStarted")["step_id"]


async def test_a_reader_in_the_middle_sees_the_same(client: ServerClient) -> None:
    stream = await client.stream(to="workflows/par", session_id="s1")
    run_id = stream.one("WorkflowStarted")["run_id"]
    middle = next(event["event_index"] for event in stream.events if event["event"] == "RunContent")
    page = await client.get(f"/workflows/par/runs/{run_id}/events", session_id="s1", after=middle - 1)
    assert page["events"] == [event for event in stream.events if event["event_index"] >= middle]


async def test_results_in_the_stream_are_those_of_the_run(client: ServerClient) -> None:
    stream = await client.stream(to="workflows/nested", session_id="s1")
    completed = stream.one("WorkflowCompleted")
    run = await client.get(f"/workflows/nested/runs/{completed['run_id']}", session_id="s1")
    assert completed["step_results"] == run["step_results"]
    assert completed["content"] == run["content"]


async def test_content_only(client: ServerClient) -> None:
    stream = await client.stream(to="workflows/seq", stream_events="false")
    assert stream.names == ["WorkflowStarted", "RunContent", "StepOutput", "TeamRunContent", "WorkflowCompleted"]


async def test_a_cancelled_run_keeps_its_results(client: ServerClient) -> None:
    hold = client.model.hold("UP(")
    run = await client.begin(to="workflows/seq")
    await hold.reached.wait()
    assert (await client.cancel(run.run_id, to="workflows/seq")).json()["status"] == "CANCELLED"
    view = await client.ended(run, to="workflows/seq")
    assert [step["step_name"] for step in view["step_results"]] == ["research", "shout"]
    events = (await client.get(f"/workflows/seq/runs/{run.run_id}/events", session_id=run.session_id))["events"]
    ends = [event["event"] for event in events if event["event"].startswith("Workflow")]
    assert ends == ["WorkflowStarted", "WorkflowCancelled"]


async def test_a_message_reaches_the_step_at_work(client: ServerClient) -> None:
    hold = client.model.hold("hello")
    run = await client.begin('hello [[TOOL get_weather {"city": "Rome"}]]', to="workflows/seq")
    await hold.reached.wait()
    path = f"/workflows/seq/runs/{run.run_id}/messages"
    sent = await client.http.post(path, data={"message": "and Oslo"}, headers={"Idempotency-Key": "k1"})
    assert sent.status_code == 202, sent.text
    (member,) = (await client.get(f"/runs/{run.run_id}"))["members"]
    assert sent.json()["run_id"] == member["run_id"]
    hold.release()
    await client.ended(run, to="workflows/seq")
    again = await client.http.post(path, data={"message": "and Oslo"}, headers={"Idempotency-Key": "k1"})
    assert again.json()["id"] == sent.json()["id"]
    (message,) = await client.get(path, session_id=run.session_id)
    assert message["taken_path"] == "s0/t1/m"
    assert message["next_run_id"] is None


# --- sessions and lists ---------------------------------------------------------------------------------


async def test_a_session_of_a_workflow(client: ServerClient) -> None:
    await client.run(to="workflows/seq", session_id="s1")
    session = await client.get("/sessions/s1", type="workflow")
    assert session["workflow_id"] == "seq"
    assert session["workflow_data"] == {
        "workflow_id": "seq",
        "name": "seq",
        "steps": [
            {"name": "research", "description": "find out", "type": "Step"},
            {"name": "shout", "description": None, "type": "Step"},
            {"name": "crew", "description": None, "type": "Step"},
        ],
    }
    assert session["session_data"]["session_metrics"]["total_tokens"] == 30
    (listed,) = (await client.get("/sessions", type="workflow"))["data"]
    assert (listed["session_id"], listed["component_kind"]) == ("s1", "workflow")
    assert (await client.get("/sessions", type="team"))["data"] == []


async def test_the_runs_of_a_session(client: ServerClient) -> None:
    done = await client.run(to="workflows/seq", session_id="s1")
    for path in ("/sessions/s1/runs?type=workflow", "/workflows/seq/runs?session_id=s1"):
        (run,) = await client.get(path)
        assert (run["run_id"], run["workflow_id"], run["run_input"]) == (done["run_id"], "seq", "hello")
        assert run["step_results"] == done["step_results"]
        assert [inner["run_id"] for inner in run["step_executor_runs"]] == [
            inner["run_id"] for inner in done["step_executor_runs"]
        ]
    (listed,) = (await client.get("/runs", workflow_id="seq"))["data"]
    assert listed["run_id"] == done["run_id"]
    assert (await client.get("/runs", workflow_id="par"))["data"] == []


async def test_a_session_before_its_first_run(client: ServerClient) -> None:
    answer = await client.http.post("/sessions", json={"session_id": "s1", "workflow_id": "state"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["workflow_id"] == "state"
    assert (await client.run(to="workflows/state", session_id="s1"))["content"] == "n=11"
    both = await client.http.post("/sessions", json={"workflow_id": "state", "team_id": "crew"})
    problem(both, 422, "VALIDATION_ERROR")


async def test_a_forked_session_has_copies_that_name_each_other(client: ServerClient) -> None:
    done = await client.run(to="workflows/par", session_id="s1")
    answer = await client.http.post("/workflows/par/sessions/s1/fork")
    forked = answer.json()["session_id"]
    (copy,) = await client.get(f"/sessions/{forked}/runs")
    view = await client.get(f"/workflows/par/runs/{copy['run_id']}", session_id=forked)
    assert view["copied_from"] == done["run_id"]
    runs, steps = view["step_executor_runs"], view["step_results"][0]["steps"]
    assert [step["step_run_id"] for step in (steps[0], steps[2])] == [run["run_id"] for run in runs]
    assert {run["parent_run_id"] for run in runs} == {copy["run_id"]}
    assert not {run["run_id"] for run in runs} & {run["run_id"] for run in done["step_executor_runs"]}
    page = await client.get(f"/workflows/par/runs/{copy['run_id']}/events", session_id=forked)
    assert page["events"][-1]["step_results"] == view["step_results"]


async def test_a_trace_has_the_containers(client: ServerClient) -> None:
    done = await client.run(to="workflows/nested", session_id="s1")
    (listed,) = (await client.get("/traces", workflow_id="nested"))["data"]
    assert (listed["run_id"], listed["workflow_id"]) == (done["run_id"], "nested")
    assert (await client.get("/traces", workflow_id="seq"))["data"] == []
    trace = await client.get(f"/traces/{listed['trace_id']}")
    assert trace["total_spans"] == listed["total_spans"] == 11
    (root,) = trace["tree"]

    def outline(span: dict[str, Any]) -> Any:
        return span["type"], span["name"], sorted(outline(below) for below in span.get("spans") or ())

    step_x: Any = ("STEP", "step x", [])
    model: Any = ("LLM", "chat scripted", [])
    step_y = ("STEP", "step y", [("AGENT", "invoke_agent Writer", [model])])
    loop = ("LOOP", "loop lp", [step_x, step_x])
    parallel = ("PARALLEL", "parallel pp", [loop, step_y])
    condition = ("CONDITION", "condition c", [parallel, ("STEP", "choice c", [])])
    assert outline(root) == ("WORKFLOW", "invoke_agent nested", [("STEP", "steps outer", [condition])])


async def test_workflows_are_counted(client: ServerClient) -> None:
    await client.run(to="workflows/seq", session_id="s1")
    (day,) = (await client.get("/metrics"))["metrics"]
    assert (day["workflow_runs_count"], day["workflow_sessions_count"]) == (1, 1)
    assert (day["agent_runs_count"], day["token_metrics"]["total_tokens"]) == (0, 30)


async def test_scopes_of_workflows(serve: Serve) -> None:
    issuer = Issuer()
    async with serve(served=workflow_sample(), jwt_verification_key=public_pem(rsa_key())) as client:
        headers = issuer.bearer("ada", "workflows:seq:run")
        listed = await client.http.get("/workflows", headers=headers)
        assert [workflow["id"] for workflow in listed.json()] == ["seq"]
        assert (await client.post(to="workflows/seq", stream="false", headers=headers)).status_code == 200
        assert (await client.post(to="workflows/par", stream="false", headers=headers)).status_code == 403
