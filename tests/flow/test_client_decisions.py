"""Both clients decide what paused runs wait for: tool calls, and steps of workflows."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from musterd import Agent, Team, ask_user, tool
from musterd.client import Conflict, RunPaused, paging
from tests.support.app import Sample
from tests.support.clients import Connect, EitherClient
from tests.support.flaky_proxy import through
from tests.support.workflows import workflow_sample

PAY = '[[DELEGATE clerk: <TOOL pay {"n": 1}>]]'
OPTIONS = [{"label": label, "description": label} for label in ("red", "blue")]
QUESTION = {"question": "Which?", "header": "Colour", "options": OPTIONS, "multi_select": False}
ASK = f"[[TOOL ask_user {json.dumps({'questions': [QUESTION]})}]]"


def shop() -> Sample:
    """A team whose tools ask a person."""

    @tool(requires_confirmation=True)
    def pay(n: int) -> str:
        """Pay."""
        return f"paid {n}"

    @tool(user_input_fields=["nights"])
    def book(city: str, nights: int) -> str:
        """Book."""
        return f"booked {nights} in {city}"

    @tool(external_execution=True)
    def mail(to: str) -> str:
        """Mail."""
        raise AssertionError("the client does it")

    @tool(approval="required")
    def hire(name: str) -> str:
        """Hire."""
        return f"hired {name}"

    clerk = Agent(id="clerk", name="Clerk", tools=[pay])
    return Sample([Team(id="desk", members=[clerk], tools=[pay, book, mail, hire, ask_user], model="scripted")], [])


async def paused(client: EitherClient, message: str, component: str = "desk", kind: str = "team") -> Any:
    """A run that waits, and the only thing that it waits for."""
    run = await client.run(component, message, kind=kind)
    assert run.status == "PAUSED", run
    (requirement,) = run.requirements
    return run, requirement


async def decided(client: EitherClient, run: Any, decision: Any) -> Any:
    return await client.wait(await client.decide(run, decision))


async def test_a_call_is_approved_or_rejected(connect: Connect) -> None:
    async with connect(served=shop()) as (_, client):
        run, requirement = await paused(client, PAY)
        assert (requirement.kind, requirement.name, requirement.arguments) == ("confirmation", "pay", {"n": 1})
        assert requirement.member == "Clerk"
        with pytest.raises(RunPaused, match="waits for a decision about pay"):
            run.require_completed()
        done = await decided(client, run, requirement.approve())
        assert (done.status, done.content) == ("COMPLETED", "Done: Done: paid 1")
        assert (await decided(client, run, requirement.approve())).content == done.content, "it changes nothing again"
        with pytest.raises(Conflict):
            await client.decide(run, requirement.reject())

        run, requirement = await paused(client, PAY)
        done = await decided(client, run, requirement.reject("too dear"))
        assert "too dear" in done.content


@pytest.mark.parametrize(
    ("message", "decide", "content"),
    [
        (PAY, lambda waiting: waiting.approve({"n": 7}), "paid 7"),
        ('[[TOOL book {"city": "Rome"}]]', lambda waiting: waiting.fill_in({"nights": 2}), "booked 2 in Rome"),
        ('[[TOOL mail {"to": "Ana"}]]', lambda waiting: waiting.give_result("sent"), "Done: sent"),
        (ASK, lambda waiting: waiting.fill_in({"Which?": ["red"]}), "red"),
    ],
)
async def test_what_a_person_gives(connect: Connect, message: str, decide: Callable[..., Any], content: str) -> None:
    async with connect(served=shop()) as (_, client):
        run, requirement = await paused(client, message)
        done = await decided(client, run, decide(requirement))
        assert done.status == "COMPLETED"
        assert content in done.content


@pytest.mark.parametrize(
    ("workflow", "decide", "status", "content"),
    [
        ("hitl", lambda waiting: waiting.approve(), "COMPLETED", "plain string"),
        ("hitl", lambda waiting: waiting.reject(), "CANCELLED", "Workflow cancelled: Step 'danger' was rejected"),
        ("hitl-input", lambda waiting: waiting.fill_in({"color": "red"}), "COMPLETED", None),
        ("hitl-router", lambda waiting: waiting.choose(["r-writer"]), "COMPLETED", "Echo: hello"),
        ("fail-pause", lambda waiting: waiting.reject(), "COMPLETED", "UP(hello)"),
        ("fail-pause", lambda waiting: waiting.approve(), "PAUSED", None),
    ],
)
async def test_steps_of_workflows(
    connect: Connect, workflow: str, decide: Callable[..., Any], status: str, content: str | None
) -> None:
    async with connect(served=workflow_sample("scripted")) as (_, client):
        run, requirement = await paused(client, "hello", workflow, "workflow")
        assert requirement.kind == ("failed_step" if workflow == "fail-pause" else "step")
        done = await decided(client, run, decide(requirement))
        assert (done.status, content) == (status, content and done.content)


@pytest.mark.parametrize("is_yes", [True, False])
async def test_a_call_that_is_decided_in_the_inbox_alone(connect: Connect, is_yes: bool) -> None:
    async with connect(served=shop()) as (_, client):
        run, requirement = await paused(client, '[[TOOL hire {"name": "Ana"}]]')
        done = await decided(client, run, requirement.approve() if is_yes else requirement.reject("too soon"))
        assert ("hired Ana" if is_yes else "too soon") in done.content
        (approval,) = await client.approvals.list(status=None)
        assert approval.status == ("approved" if is_yes else "rejected")


async def test_a_stream_ends_at_a_pause_and_goes_on_after_it(connect: Connect) -> None:
    async with connect(served=shop()) as (_, client):
        run, requirement = await paused(client, PAY)
        before = [event async for event in client.follow(run)]
        await client.decide(run, requirement.approve())
        after = [event async for event in client.follow(run, after=before[-1].index)]
        whole = [event async for event in client.follow(run)]
    assert (before[-1].name, after[-1].name) == ("TeamRunPaused", "TeamRunCompleted")
    assert [event.index for event in before + after] == [event.index for event in whole]


async def test_a_wait_and_a_stream_go_on_while_somebody_else_decides(connect: Connect) -> None:
    async with connect(served=shop()) as (_, client):
        run = await client.start("desk", PAY)
        waiting = asyncio.create_task(client.wait(run, through_pauses=True))
        names = []
        async for event in client.follow(run, through_pauses=True):
            names.append(event.name)
            if event.name == "TeamRunPaused":
                (approval,) = await client.approvals.list()
                await client.approvals.approve(approval.id)
        assert (names[-1], names.count("TeamRunPaused")) == ("TeamRunCompleted", 1)
        assert (await waiting).status == "COMPLETED"


# --- the inbox ------------------------------------------------------------------------------------------------


async def test_the_inbox(connect: Connect) -> None:
    async with connect(served=shop()) as (_, client):
        first, _ = await paused(client, PAY)
        second, _ = await paused(client, PAY)
        page = await client.approvals.list()
        assert ([approval.run_id for approval in page], page.total) == ([second.run_id, first.run_id], 2)
        (approval,) = await client.approvals.list(run_id=first.run_id)
        assert (approval.tool_name, approval.tool_args, approval.member_name) == ("pay", {"n": 1}, "Clerk")
        approved = await client.approvals.approve(approval.id, values={"n": 3}, resolved_by="ana")
        assert (approved.status, approved.resolved_by) == ("approved", "ana")
        assert "paid 3" in (await client.wait(first)).content
        rejected = await client.approvals.reject(page.items[0].id, note="no")
        assert (rejected.status, (await client.wait(second)).status) == ("rejected", "COMPLETED")
        with pytest.raises(Conflict):
            await client.approvals.approve(page.items[0].id)


@pytest.mark.parametrize("values", [None, {"n": 3}, {"n": 1}])
async def test_a_decision_whose_answer_is_lost(
    connect: Connect, client_kind: str, values: dict[str, Any] | None
) -> None:
    async with connect(served=shop()) as (server, direct):
        run, requirement = await paused(direct, PAY)
        async with through(client_kind, server, cut_after=0, cuts=2) as (proxy, client):
            assert (await client.approvals.approve(requirement.id, values=values)).status == "approved"
            assert proxy.cuts < 2
            with pytest.raises(Conflict):
                await client.approvals.approve(requirement.id, values={"n": 7})
        assert (await direct.wait(run)).status == "COMPLETED"


async def test_all_of_the_inbox_is_read_while_it_is_emptied(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    async with connect(served=shop()) as (_, client):
        runs = [(await paused(client, PAY))[0].run_id for _ in range(7)]
        decided_runs = []
        async for approval in client.all("approvals"):
            decided_runs.append((await client.approvals.approve(approval.id)).run_id)
        assert sorted(decided_runs) == sorted(runs)
        assert (await client.approvals.list()).total == 0
