"""Workflows that wait for a person: how a pause looks, and how it is decided."""

import json
from typing import Any

import pytest
from dirty_equals import IsFloat, IsStr

from musterd import Parallel, Step, Workflow
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, read_stream, wrong_fields
from tests.support.workflows import up, workflow_sample

IS_ID = IsStr(regex=r"[0-9a-f]{8}-[0-9a-f-]{27}")
STEP_INPUT: dict[str, Any] = {
    "input": "hello",
    "previous_step_outputs": {},
    "previous_step_content": None,
    "additional_data": None,
    "images": None,
    "videos": None,
    "audio": None,
    "files": None,
}
QUESTION: dict[str, Any] = {
    "id": IS_ID,
    "step_id": IS_ID,
    "step_index": 0,
    "step_type": "Step",
    "requires_confirmation": False,
    "confirmation_message": None,
    "confirmed": None,
    "on_reject": "skip",
    "requires_user_input": False,
    "user_input_message": None,
    "user_input": None,
    "requires_route_selection": False,
    "available_choices": None,
    "allow_multiple_selections": False,
    "selected_choices": None,
    "step_input": STEP_INPUT,
}


@pytest.fixture
async def client(serve: Serve) -> Any:
    """The recorded workflows."""
    model = HeldModel()
    async with serve(served=workflow_sample(model), model=model) as serving:
        yield serving


async def paused(client: ServerClient, workflow: str, message: str = "hello") -> dict[str, Any]:
    """A run of the workflow, which has paused."""
    run = await client.run(message, to=f"workflows/{workflow}", session_id="s1")
    assert run["status"] == "PAUSED", run
    return run


async def decided(client: ServerClient, run: dict[str, Any], **lists: Any) -> dict[str, Any]:
    """The run after these decisions."""
    answer = await client.http.post(
        f"/workflows/{run['workflow_id']}/runs/{run['run_id']}/continue",
        data={"session_id": "s1", "stream": "false", **{name: json.dumps(value) for name, value in lists.items()}},
    )
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def only_step(run: dict[str, Any]) -> dict[str, Any]:
    """The only step that the run waits at."""
    (requirement,) = run["step_requirements"]
    found: dict[str, Any] = requirement
    return found


async def test_a_confirmation(client: ServerClient) -> None:
    run = await paused(client, "hitl")
    prep = run["step_results"][0]
    assert only_step(run) == {
        **QUESTION,
        "step_name": "danger",
        "step_index": 1,
        "requires_confirmation": True,
        "confirmation_message": "Really?",
        "on_reject": "cancel",
        "step_input": {
            **STEP_INPUT,
            "previous_step_outputs": {"prep": {**prep, "steps": None}},
            "previous_step_content": "UP(hello)",
        },
    }
    assert (run["paused_step_index"], run["paused_step_name"]) == (1, "danger")
    assert "requirements" not in run
    done = await decided(client, run, step_requirements=[{**only_step(run), "confirmed": True}])
    assert (done["status"], done["content"]) == ("COMPLETED", "plain string")
    assert [step["step_name"] for step in done["step_results"]] == ["prep", "danger", "fin"]


async def test_the_stream_of_a_pause_and_of_its_continuation(client: ServerClient) -> None:
    stream = await client.stream(to="workflows/hitl", session_id="s1")
    assert stream.names == [
        *("WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted", "StepPaused", "WorkflowPaused")
    ]
    pause, end = stream.one("StepPaused"), stream.one("WorkflowPaused")
    assert (pause["step_name"], pause["requires_confirmation"], pause["confirmation_message"]) == (
        *("danger", True),
        "Really?",
    )
    (requirement,) = end["step_requirements"]
    answer = await client.http.post(
        f"/workflows/hitl/runs/{end['run_id']}/continue",
        data={"session_id": "s1", "step_requirements": json.dumps([{**requirement, "confirmed": True}])},
    )
    names = [event["event"] for event in read_stream(answer.text)]
    assert names == [
        *("WorkflowContinued", "StepStarted", "StepOutput", "StepCompleted", "StepStarted", "StepOutput"),
        *("StepCompleted", "WorkflowCompleted"),
    ]


async def test_a_rejection_that_cancels(client: ServerClient) -> None:
    run = await paused(client, "hitl")
    done = await decided(client, run, step_requirements=[{**only_step(run), "confirmed": False}])
    assert (done["status"], done["content"]) == ("CANCELLED", "Workflow cancelled: Step 'danger' was rejected")
    assert [step["step_name"] for step in done["step_results"]] == ["prep"]


async def test_a_decision_may_name_the_step_in_place_of_the_question(client: ServerClient) -> None:
    run = await paused(client, "hitl")
    step_id = only_step(run)["step_id"]
    done = await decided(client, run, step_requirements=[{"step_id": step_id, "confirmed": True}])
    assert done["status"] == "COMPLETED"


async def test_values_before_a_step(client: ServerClient) -> None:
    run = await paused(client, "hitl-input")
    question = only_step(run)
    assert question == {
        **QUESTION,
        "step_name": "ask",
        "requires_user_input": True,
        "user_input_message": "Which?",
        "user_input_schema": [
            {
                "name": "color",
                "field_type": "str",
                "description": "c",
                "value": None,
                "required": True,
                "allowed_values": None,
            }
        ],
    }
    wrong = await client.http.post(
        f"/workflows/hitl-input/runs/{run['run_id']}/continue",
        data={"session_id": "s1", "step_requirements": json.dumps([{**question, "user_input": {"size": 1}}])},
    )
    assert "color" in problem(wrong, 422, "VALIDATION_ERROR")
    done = await decided(client, run, step_requirements=[{**question, "user_input": {"color": "red"}}])
    assert done["status"] == "COMPLETED"


async def test_values_in_the_form_itself(client: ServerClient) -> None:
    run = await paused(client, "hitl-input")
    question = only_step(run)
    question["user_input_schema"][0]["value"] = "red"
    assert (await decided(client, run, step_requirements=[question]))["status"] == "COMPLETED"


async def test_a_choice_of_steps(client: ServerClient) -> None:
    run = await paused(client, "hitl-router")
    question = only_step(run)
    assert question == {
        **QUESTION,
        "step_name": "way",
        "step_type": "Router",
        "user_input_message": "Choose",
        "on_reject": "cancel",
        "requires_route_selection": True,
        "available_choices": ["r-up", "r-writer"],
    }
    unknown = await client.http.post(
        f"/workflows/hitl-router/runs/{run['run_id']}/continue",
        data={"session_id": "s1", "step_requirements": json.dumps([{**question, "selected_choices": ["r-none"]}])},
    )
    problem(unknown, 422, "VALIDATION_ERROR")
    done = await decided(client, run, step_requirements=[{**question, "selected_choices": ["r-writer"]}])
    assert done["content"] == "Echo: hello"


@pytest.mark.parametrize(("confirmed", "content"), [(True, "UP(hello)"), (False, "plain string")])
async def test_a_condition_that_a_person_confirms(client: ServerClient, confirmed: bool, content: str) -> None:
    run = await paused(client, "hitl-cond")
    question = only_step(run)
    assert (question["step_type"], question["on_reject"]) == ("Condition", "else")
    done = await decided(client, run, step_requirements=[{**question, "confirmed": confirmed}])
    assert (done["status"], done["content"]) == ("COMPLETED", content)


@pytest.mark.parametrize(
    ("decision", "status", "content"), [("skip", "COMPLETED", "UP(hello)"), ("retry", "PAUSED", IsStr)]
)
async def test_a_failed_step(client: ServerClient, decision: str, status: str, content: str) -> None:
    run = await paused(client, "fail-pause")
    (question,) = run["error_requirements"]
    assert question == {
        "id": IS_ID,
        "step_id": IS_ID,
        "step_name": "bad",
        "step_index": 0,
        "error_message": "boom in step",
        "error_type": "ValueError",
        "retry_count": 0,
        "decision": None,
    }
    done = await decided(client, run, error_requirements=[{**question, "decision": decision}])
    assert (done["status"], done["content"]) == (status, content)
    if decision == "retry":
        assert done["error_requirements"][0]["retry_count"] == 1


async def test_a_tool_call_inside_a_step(client: ServerClient) -> None:
    run = await paused(client, "hitl-agent", '[[TOOL delete_file {"path": "x"}]]')
    (requirement,) = run["requirements"]
    assert "step_requirements" not in run
    assert requirement["tool_execution"]["tool_name"] == "delete_file"
    done = await decided(client, run, requirements=[{**requirement, "confirmation": True}])
    assert done["status"] == "COMPLETED"
    assert done["step_executor_runs"][0]["tools"][0]["result"] == "deleted x"


async def test_questions_in_the_inbox(client: ServerClient) -> None:
    run = await paused(client, "hitl")
    (approval,) = (await client.get("/approvals", status="pending"))["data"]
    assert (approval["workflow_id"], approval["agent_id"], approval["team_id"]) == ("hitl", None, None)
    assert (approval["source_type"], approval["tool_name"], approval["run_id"]) == (
        *("workflow", "danger"),
        run["run_id"],
    )
    assert approval["context"]["step"]["confirmation_message"] == "Really?"
    answer = await client.http.post(f"/approvals/{approval['id']}/resolve", json={"status": "approved"})
    assert answer.status_code == 200, answer.text
    done = await client.get(f"/workflows/hitl/runs/{run['run_id']}", session_id="s1", wait=60)
    assert done["status"] == "COMPLETED"


async def test_decisions_that_cannot_be_read(client: ServerClient) -> None:
    run = await paused(client, "hitl")
    path, question = f"/workflows/hitl/runs/{run['run_id']}/continue", only_step(run)
    for lists, status, code in (
        ({"step_requirements": "{no"}, 400, "BAD_REQUEST"),
        ({"step_requirements": json.dumps([{**question, "confirmed": "yes"}])}, 422, "VALIDATION_ERROR"),
        ({"step_requirements": json.dumps([{"confirmed": True}])}, 422, "VALIDATION_ERROR"),
        ({"step_requirements": json.dumps([{"id": "nope", "confirmed": True}])}, 422, "VALIDATION_ERROR"),
        ({"error_requirements": json.dumps([{**question, "decision": "again"}])}, 422, "VALIDATION_ERROR"),
    ):
        answer = await client.http.post(path, data={"session_id": "s1", **lists})
        problem(answer, status, code)
        if status == 422:
            assert wrong_fields(answer) == [("body", *lists)]
    assert (await client.get(f"/workflows/hitl/runs/{run['run_id']}", session_id="s1"))["status"] == "PAUSED"


@pytest.mark.parametrize(
    ("workflow", "lists", "words"),
    [
        (
            "hitl",
            {"step_requirements": {"decision": "skip"}},
            "danger ({id}) has no field `decision`; send `confirmed`",
        ),
        (
            "hitl",
            {"requirements": {"confirmation": True}},
            "danger ({id}) is not one of `requirements`; send `confirmed`",
        ),
        (
            "hitl-router",
            {"step_requirements": {"choice": "x"}},
            "way ({id}) has no field `choice`; send `selected_choi",
        ),
        (
            "fail-pause",
            {"error_requirements": {"confirmed": True}},
            "bad ({id}) has no field `confirmed`; send `decision`",
        ),
    ],
)
async def test_a_field_that_decides_nothing_is_named_with_the_one_to_send(
    client: ServerClient, workflow: str, lists: dict[str, dict[str, Any]], words: str
) -> None:
    run = await paused(client, workflow)
    (question,) = run.get("step_requirements") or run["error_requirements"]
    form = {name: json.dumps([{**question, **decision}]) for name, decision in lists.items()}
    path = f"/workflows/{workflow}/runs/{run['run_id']}"
    answer = await client.http.post(f"{path}/continue", data={"session_id": "s1", **form})
    assert words.format(id=question["id"]) in problem(answer, 422, "VALIDATION_ERROR")
    assert wrong_fields(answer)[0] in {("body", name) for name in lists}
    assert (await client.get(path, session_id="s1"))["status"] == "PAUSED"


async def test_the_pause_has_a_time(client: ServerClient) -> None:
    await paused(client, "hitl")
    (active,) = await client.get("/sessions/s1/active")
    assert active["pause"] == {"expires_at": IsFloat}
    assert active["workflow_id"] == "hitl"


async def test_the_questions_of_two_branches_are_decided_in_parts(serve: Serve) -> None:
    branches = [Step(name=name, executor=up, requires_confirmation=True) for name in ("x", "y")]
    both = Workflow(id="both", steps=[Parallel(*branches, name="both")])
    async with serve(served=Sample([], [], [both])) as client:
        run = await paused(client, "both")
        x, y = sorted(run["step_requirements"], key=lambda question: str(question["step_name"]))
        yes, no = {**x, "confirmed": True}, {**x, "confirmed": False}
        path = f"/workflows/both/runs/{run['run_id']}/continue"

        async def refused(status: int, code: str, *questions: dict[str, Any]) -> str:
            form = {"session_id": "s1", "stream": "false", "step_requirements": json.dumps(questions)}
            return problem(await client.http.post(path, data=form), status, code)

        assert "two decisions" in await refused(422, "VALIDATION_ERROR", yes, no)
        left = await decided(client, run, step_requirements=[yes, y])
        assert (left["status"], only_step(left)) == ("PAUSED", y)
        assert (await decided(client, run, step_requirements=[yes]))["status"] == "PAUSED"
        assert await refused(409, "CONFLICT", no) == "run is already continued"
        done = await decided(client, run, step_requirements=[{**y, "confirmed": True}])
        assert done["status"] == "COMPLETED"
        assert [step["step_name"] for step in done["step_results"][0]["steps"]] == ["x", "y"]
        assert await refused(409, "CONFLICT", {**y, "confirmed": False}) == "run is already continued"
