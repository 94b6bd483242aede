"""Runs are followed over their pauses, whatever asks."""

import asyncio

import pytest

from musterd import Team, tool
from musterd.cli.remote.following import follow
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.questions import Questions
from musterd.cli.remote.screens import LineScreen
from musterd.client import Client, Run
from musterd.client.runs import ComponentKind
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient
from tests.support.workflows import workflow_sample

PUBLISH = '[[TOOL publish {"title": "Hi", "copies": 2}]]'


async def followed(server: ServerClient, kind: ComponentKind, component: str, message: str, answers: list[str]) -> Run:
    """The run after a person has given these answers."""
    replies = iter(answers)

    def work() -> Run:
        with Client(str(server.http.base_url)) as client:
            run = client.start(component, message, kind=kind)
            return follow(
                client, run, LineScreen(Outage(), silence_seconds=60), Questions(lambda _prompt: next(replies))
            )

    run = await asyncio.to_thread(work)
    assert next(replies, None) is None
    return run


@pytest.mark.parametrize(
    ("workflow", "answers", "status", "content"),
    [
        ("hitl", ["y"], "COMPLETED", "plain string"),
        ("hitl", ["n"], "CANCELLED", None),
        ("hitl", ["l"], "PAUSED", None),
        ("hitl-input", ["f", "red"], "COMPLETED", "plain string"),
        ("hitl-router", ["r-up"], "COMPLETED", "UP("),
        ("hitl-cond", ["n"], "COMPLETED", "plain string"),
        ("hitl-agent", ["y"], "COMPLETED", "UP("),
        ("fail-pause", ["n"], "COMPLETED", "UP("),
    ],
)
async def test_questions_of_workflows_are_answered(
    serve_live: Serve, workflow: str, answers: list[str], status: str, content: str | None
) -> None:
    async with serve_live(served=workflow_sample()) as server:
        run = await followed(server, "workflow", workflow, '[[TOOL delete_file {"path": "a"}]]', answers)
        assert run.status == status
        assert content is None or run.content.startswith(content)


async def test_the_steps_of_a_workflow_are_lines(serve_live: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    async with serve_live(served=workflow_sample()) as server:
        await followed(server, "workflow", "seq", "hello", [])
        texts = [line.partition(" s  ")[2].strip() for line in capsys.readouterr().err.splitlines()]
        assert texts[:2] == ["seq: started", "seq: step research started"]
        assert "Researcher: started" in texts
        assert "seq: step crew completed" in texts
        assert texts[-1].startswith("seq: completed (")


async def test_a_decision_that_somebody_else_has_made(
    serve_live: Serve, asking: Sample, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve_live(served=asking) as server:

        def work() -> Run:
            with Client(str(server.http.base_url)) as client:
                run = client.start("desk", PUBLISH)

                def reject_elsewhere(_prompt: str) -> str:
                    (approval,) = client.approvals.list()
                    client.approvals.reject(approval.id, note="no")
                    return "y"

                return follow(client, run, LineScreen(Outage(), silence_seconds=60), Questions(reject_elsewhere))

        run = await asyncio.to_thread(work)
        assert run.status == "COMPLETED"
        assert "Not accepted: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answers", "content"),
    [(["y"], "gave 3"), (["n", "too much"], "too much"), (["e", "5", "y"], "gave 5")],
)
async def test_a_call_that_only_an_approval_can_decide(serve_live: Serve, answers: list[str], content: str) -> None:
    @tool(approval="required")
    def give(euros: int) -> str:
        """Give money."""
        return f"gave {euros}"

    team = Team(id="desk", name="Desk", members=[], tools=[give], model="scripted")
    async with serve_live(served=Sample([team], [])) as server:
        run = await followed(server, "team", "desk", '[[TOOL give {"euros": 3}]]', answers)
        assert (run.status, content in run.content) == ("COMPLETED", True)
