"""Schedules that run workflows: made over HTTP and declared in code, with questions to a person, limits and retries."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Schedule, StepInput, Workflow, create_app
from tests.flow.test_schedules import Site
from tests.flow.test_webhooks import telling
from tests.support.app import Sample, Serve, in_process, settings_for
from tests.support.held_model import HeldModel
from tests.support.http import wrong_fields
from tests.support.webhook_receiver import receiving
from tests.support.workflows import workflow_sample


@pytest.fixture
async def site(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """The recorded workflows, without upkeep."""
    model = HeldModel()
    async with serve(served=workflow_sample(model), model=model, upkeep_seconds=3600) as client:
        yield Site(client, monkeypatch)


async def fired(site: Site, workflow: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schedule of the workflow, and its first firing, after its run has ended."""
    fields = {"payload": {"message": "hello"}, **fields}
    schedule = await site.create(endpoint=f"/workflows/{workflow}/runs", **fields)
    await site.look(31)
    (firing,) = await site.firings(schedule)
    return schedule, firing


async def test_a_schedule_runs_a_workflow(site: Site) -> None:
    schedule, firing = await fired(site, "seq")
    assert (firing["status"], firing["scheduled_for"]) == ("success", site.minute(0))
    assert firing["output"] == {"content": "Echo: UP(Echo: hello)", "content_type": "str"}
    run = await site.ask("GET", f"/workflows/seq/runs/{firing['run_id']}?session_id=schedule:{schedule['id']}")
    assert [step["step_name"] for step in run["step_results"]] == ["research", "shout", "crew"]


async def test_a_declared_schedule_runs_a_workflow(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = workflow_sample()
    early = next(workflow for workflow in served.workflows if workflow.id == "early")
    tick = Schedule("tick", cron="* * * * *", run=early, message="hello")
    app = create_app(workflows=[early], schedules=[tick], settings=settings_for(database, upkeep_seconds=3600))
    async with in_process(app) as client:
        site = Site(client, monkeypatch)
        (schedule,) = (await site.ask("GET", "/schedules"))["data"]
        assert (schedule["endpoint"], schedule["is_declared"]) == ("/workflows/early/runs", True)
        await site.look(31)
        (firing,) = await site.firings(schedule)
        assert (firing["status"], firing["output"]["content"]) == ("success", "stopped early")


async def test_a_question_of_a_scheduled_workflow_is_decided_in_the_inbox(site: Site) -> None:
    by_hand = await site.client.run(to="workflows/hitl", session_id="s1")
    schedule, firing = await fired(site, "hitl")
    assert (firing["status"], firing["completed_at"]) == ("paused", None)
    (approval,) = (await site.ask("GET", f"/approvals?schedule_id={schedule['id']}"))["data"]
    assert (approval["run_id"], approval["tool_name"]) == (firing["run_id"], "danger")
    assert (approval["schedule_id"], approval["schedule_run_id"]) == (schedule["id"], firing["id"])
    assert await site.ask("GET", f"/approvals/{approval['id']}") == approval
    (other,) = (await site.ask("GET", f"/approvals?run_id={by_hand['run_id']}"))["data"]
    assert (other["schedule_id"], other["schedule_run_id"]) == (None, None)
    assert (await site.ask("GET", "/approvals?schedule_id=nope"))["meta"]["total_count"] == 0
    await site.ask("POST", f"/approvals/{approval['id']}/resolve", {"status": "approved"})
    (firing,) = await site.firings(schedule)
    assert (firing["status"], firing["output"]["content"]) == ("success", "plain string")


async def test_a_webhook_names_the_schedule_of_a_question(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, telling(serve, served=workflow_sample(), upkeep_seconds=3600) as client:
        site = Site(client, monkeypatch)
        payload = {"message": "hello", "webhook_url": receiver.url}
        schedule, firing = await fired(site, "hitl", payload=payload)
        taken = {webhook.type: webhook.message["data"] for webhook in await receiver.has(2)}
    approval = taken["approval.pending"]["approval"]
    assert (approval["schedule_id"], approval["schedule_run_id"]) == (schedule["id"], firing["id"])


async def test_the_budget_of_a_schedule_limits_each_of_its_runs(site: Site) -> None:
    schedule, firing = await fired(site, "seq", budget={"tokens": 20})
    assert (firing["status"], firing["error"]) == ("failed", "Run failed with status ERROR")
    path = f"/workflows/seq/runs/{firing['run_id']}?session_id=schedule:{schedule['id']}"
    assert (await site.ask("GET", path))["error"]["code"] == "budget_tokens"


async def test_the_time_of_a_schedule_limits_a_run_that_waits(site: Site) -> None:
    hold = site.model.hold("wait")
    body = {"timeout_seconds": 90, "endpoint": "/workflows/seq/runs", "payload": {"message": "wait"}}
    schedule = await site.create(**body)
    await site.look(31)
    await hold.reached.wait()
    await site.look(91)  # the second run waits for the first one
    site.at(182)
    await site.client.server.worker.upkeep.once()
    first, second, *_ = (await site.ask("GET", f"/schedules/{schedule['id']}/runs"))["data"][::-1]
    assert (first["status"], second["status"]) == ("running", "failed")
    path = f"/workflows/seq/runs/{second['run_id']}?session_id=schedule:{schedule['id']}"
    assert (await site.ask("GET", path))["error"]["code"] == "deadline"
    hold.release()


def report(workflow: Any, execution_input: Any, count: int) -> str:
    return f"{execution_input.input} x {count}, {execution_input.additional_data}"


def place(step_input: StepInput) -> str:
    return str(step_input.additional_data)


@pytest.fixture
async def reports(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A workflow that is a function with an argument, and one with a step that reads the additional data."""
    workflows = [Workflow(id="report", steps=report), Workflow(id="place", steps=[place])]
    async with serve(served=Sample([], [], workflows=workflows), upkeep_seconds=3600) as client:
        yield Site(client, monkeypatch)


async def test_a_workflow_gets_the_additional_data_and_the_arguments_of_the_payload(reports: Site) -> None:
    data = {"additional_data": {"city": "Oslo"}}
    _, firing = await fired(reports, "report", payload={"message": "tea", "count": 3, **data})
    assert (firing["status"], firing["output"]["content"]) == ("success", "tea x 3, {'city': 'Oslo'}")
    schedule = await reports.create(name="place", endpoint="/workflows/place/runs", payload={"message": "tea", **data})
    firing = await reports.ask("POST", f"/schedules/{schedule['id']}/trigger?wait=60")
    assert firing["output"]["content"] == "{'city': 'Oslo'}"


@pytest.mark.parametrize(
    ("fields", "name"),
    [({}, "count"), ({"count": "few"}, "count"), ({"count": 1, "additional_data": [1]}, "additional_data")],
)
async def test_a_payload_that_the_workflow_would_refuse_is_refused_at_once(
    reports: Site, fields: dict[str, Any], name: str
) -> None:
    body = {"name": "r", "cron_expr": "* * * * *", "endpoint": "/workflows/report/runs"}
    answer = await reports.client.http.post("/schedules", json={**body, "payload": {"message": "tea", **fields}})
    assert wrong_fields(answer) == [("body", "payload", name)]
    schedule = await reports.ask("POST", "/schedules", {**body, "payload": {"message": "tea", "count": 1}})
    changes = {"payload": {"message": "tea", **fields}}
    answer = await reports.client.http.patch(f"/schedules/{schedule['id']}", json=changes)
    assert wrong_fields(answer) == [("body", "payload", name)]


async def test_a_message_that_the_workflow_would_refuse_is_refused_at_once(site: Site) -> None:
    body = {"name": "r", "cron_expr": "* * * * *", "endpoint": "/workflows/schema/runs", "payload": {"message": "tea"}}
    assert wrong_fields(await site.client.http.post("/schedules", json=body)) == [("body", "payload", "message")]
