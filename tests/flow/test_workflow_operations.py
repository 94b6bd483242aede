"""Operations that runs of workflows have in common with those of agents and teams: they know its steps."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd import Media, Step, StepInput, StepOutput, Workflow
from tests.flow.test_resume import paged, resumed
from tests.flow.test_webhooks import telling
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem
from tests.support.webhook_receiver import receiving
from tests.support.workflows import up, workflow_sample

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[ServerClient]:
    """The recorded workflows."""
    model = HeldModel()
    async with serve(served=workflow_sample(model), model=model) as serving:
        yield serving


async def test_a_client_comes_back_to_a_run_at_any_event(client: ServerClient) -> None:
    whole = (await client.stream(to="workflows/nested", session_id="s1", run_id="r1")).events
    run = "/workflows/nested/runs/r1"
    for event in whole:
        index = event["event_index"]
        note, *rest = await resumed(client, index, run=run)
        assert (note["event"], note["status"], note["total_events"]) == ("replay", "COMPLETED", len(rest))
        assert rest == whole[index + 1 :] == await paged(client, index, limit=5, run=run)


async def test_a_client_comes_back_to_a_run_that_waits(client: ServerClient) -> None:
    whole = (await client.stream(to="workflows/hitl", session_id="s1", run_id="r1")).events
    note, *rest = await resumed(client, 2, run="/workflows/hitl/runs/r1")
    assert (note["event"], note["status"]) == ("replay", "PAUSED")
    assert (rest, rest[-1]["event"]) == (whole[3:], "WorkflowPaused")


async def test_the_steps_of_a_run(client: ServerClient) -> None:
    run = await client.run("rain up", to="workflows/route", session_id="s1", run_id="r1")
    url = "/workflows/route/runs/r1/steps"
    steps = {step["path"]: step for step in await client.get(url, session_id="s1")}
    assert {"s0/c", "s0/s0"} <= set(steps)
    assert (steps["s0/s0"]["name"], steps["s0/s0"]["run_id"]) == ("r-up", "r1")
    assert "result" not in steps["s0/s0"]
    (step,) = (await client.http.get(url, params={"session_id": "s1", "path": "s0/s0"})).json()
    assert run["content"] in str(step["result"])
    answer = await client.http.get(url, params={"session_id": "s1", "path": "s0/s1"})
    problem(answer, 404, "NOT_FOUND")
    pages, after = list[Any](), dict[str, str]()
    while page := await client.get(url, session_id="s1", limit="1", **after):
        pages += page
        after = {"after_path": page[-1]["path"]}
    assert [step["path"] for step in pages] == list(steps)


async def test_a_step_of_an_agent_names_its_run(client: ServerClient) -> None:
    run = await client.run(to="workflows/seq", session_id="s1", run_id="r1")
    steps = {step["path"]: step for step in await client.get("/workflows/seq/runs/r1/steps", session_id="s1")}
    research, _, crew = run["step_results"]
    assert steps["s0"]["child_run_ids"] == [research["step_run_id"]]
    assert steps["s0/t0/m"]["run_id"] == research["step_run_id"]
    assert steps["s2/t0/m"]["run_id"] == crew["step_run_id"]


async def test_a_medium_of_a_step_is_sent_as_it_is(serve: Serve) -> None:
    def draw(step_input: StepInput) -> StepOutput:
        return StepOutput(content="drawn", images=[Media(content=PNG, mime_type="image/png", filename="a.png")])

    drawing = Workflow(id="drawing", steps=[Step(name="draw", executor=draw), Step(name="next", executor=up)])
    async with serve(served=Sample([], [], [drawing])) as client:
        run = await client.run(to="workflows/drawing", session_id="s1", run_id="r1")
        (image,) = run["step_results"][0]["images"]
        assert (image["mime_type"], image["filename"]) == ("image/png", "a.png")
        (of_run,) = run["images"]
        assert (of_run["blob"], base64.b64decode(of_run["content"])) == (image["blob"], PNG)
        path = f"/workflows/drawing/runs/r1/media/{image['blob']}"
        answer = await client.http.get(path, params={"session_id": "s1"})
        assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
        problem(await client.http.get(f"{path}0", params={"session_id": "s1"}), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("workflow", "types"), [("seq", ["run.completed"]), ("hitl", ["approval.pending", "run.paused"])]
)
async def test_a_webhook_is_told_of_a_run(serve: Serve, workflow: str, types: list[str]) -> None:
    async with receiving() as receiver, telling(serve, served=workflow_sample()) as client:
        await client.run(to=f"workflows/{workflow}", session_id="s1", run_id="r1", webhook_url=receiver.url)
        taken = {webhook.type: webhook.message["data"] for webhook in await receiver.has(len(types))}
    assert sorted(taken) == types
    run = taken[types[-1]]
    assert (run["run_id"], run["workflow_id"]) == ("r1", workflow)
    if workflow == "hitl":
        assert taken["approval.pending"]["approval"]["workflow_id"] == "hitl"
        assert [question["tool_execution"]["tool_name"] for question in run["requirements"]] == ["danger"]


async def test_a_trace_has_a_router_with_its_choice(client: ServerClient) -> None:
    await client.run("up", to="workflows/route", session_id="s1")
    (listed,) = (await client.get("/traces", workflow_id="route"))["data"]
    (root,) = (await client.get(f"/traces/{listed['trace_id']}"))["tree"]
    (router,) = root["spans"]
    assert (router["type"], router["name"]) == ("ROUTER", "router way")
    assert sorted((span["type"], span["name"]) for span in router["spans"]) == [
        ("STEP", "choice way"),
        ("STEP", "step r-up"),
    ]


async def test_a_request_asks_for_a_budget_of_all_steps(client: ServerClient) -> None:
    run = await client.run(to="workflows/seq", budget=json.dumps({"tokens": 1000}))
    assert run["budget"] == {"tokens": {"limit": 1000, "spent": 30, "left": 970}}
    run = await client.run(to="workflows/seq", budget=json.dumps({"tokens": 20}))
    assert (run["status"], run["error"]["code"]) == ("ERROR", "budget_tokens")
    assert run["budget"]["tokens"]["limit"] == 20
    assert [step["step_name"] for step in run["step_results"]][:2] == ["research", "shout"]
