"""Requests that look at something, and find it changed by another one when they act on it."""

import asyncio

from musterd import Agent, Team, tool
from musterd.core import clock
from musterd.core.approvals import Approval, ApprovalFilter, Resolution
from musterd.core.errors import Conflict
from musterd.core.states import RunState
from musterd.service.forks import ForkRequest
from musterd.store import runs, sessions
from musterd.store.acceptance import Accepted
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import of_run


@tool(requires_confirmation=True)
async def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


async def test_of_two_who_decide_the_same_at_once_one_is_told_so(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[Agent(id="solo", model=model, tools=[pay])]) as harness:
        await harness.run('[[TOOL pay {"n": 1}]]', "r1")
        approvals = harness.server.approvals
        ((approval,), _) = await approvals.search(ApprovalFilter(), NOBODY)

        async def approve(by: str) -> Approval | str:
            try:
                return await approvals.resolve(approval.requirement.id, Resolution(is_approved=True, by=by), NOBODY)
            except Conflict as error:
                return error.message

        results = await asyncio.gather(*(approve(name) for name in ("ana", "bob", "cid")))
        (done,) = [one for one in results if isinstance(one, Approval)]
        refused = {one for one in results if isinstance(one, str)}
        assert refused == {f"Approval is already 'approved' by {done.decided_by} and cannot be resolved"}
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_cancelling_a_member_that_has_just_ended_is_done_already(engines: Engines, model: HeldModel) -> None:
    member = Agent(id="one", name="One", model=model)
    async with engines(teams=[Team(id="team", name="Team", model=model, members=[member])]) as harness:
        hold = model.hold("slow")
        await harness.start("[[DELEGATE one: slow]]", "r1")
        await hold.reached.wait()
        (row,) = [row for row in await harness.database.read(of_run(runs.tree, "r1")) if row.parent_id]
        assert row.state is RunState.RUNNING
        hold.release()
        await harness.end_of("r1")
        assert not await harness.runs.steering.cancel_member(row, "client", None), "as it was looked at before its end"
        assert (await harness.cancel(row.run_id)).state is RunState.COMPLETED


async def test_of_two_that_go_on_from_a_failed_run_at_once_one_does(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[Agent(id="solo", model=model)]) as harness:
        failed = await harness.run("[[ERROR 400]]", "r1")
        assert failed.row.state is RunState.ERROR

        async def go_on(harness: EngineHarness, run_id: str) -> Accepted | None:
            try:
                request = ForkRequest(run_id=run_id)
                return await harness.server.forks.start(harness.component(), failed, request, NOBODY)
            except Conflict:
                return None

        hold = model.hold("[[ERROR 400]]")  # if the fork failed too, it could be continued
        accepted = await asyncio.gather(*(go_on(harness, name) for name in ("f1", "f2", "f3")))
        assert len([fork for fork in accepted if fork is not None]) == 1
        hold.release()


async def test_a_run_accepted_while_its_session_is_deleted_is_refused_or_cancelled(
    engines: Engines, model: HeldModel
) -> None:
    async with engines(agents=[Agent(id="solo", model=model)]) as harness:
        hold = model.hold("wait")
        for number in range(5):
            session, runs = f"s{number}", [f"{number}-{place}" for place in range(4)]
            await harness.run("hello", session=session)

            async def start(run_id: str, session: str = session) -> str | None:
                try:
                    return (await harness.start("wait", run_id, session)).run.run_id
                except Conflict:
                    return None

            tasks = [start(run_id) for run_id in runs]
            await asyncio.gather(*tasks[:2], harness.sessions.delete(session, NOBODY), *tasks[2:])
        hold.release()
        while await harness.database.scan(lambda tx: sessions.list_deleted(tx, clock.now())):
            await harness.engine.upkeep.once()
            await harness.engine.upkeep.deletions.once()
        left = await harness.records.states()
        for run_id in left:  # accepted in a session that was made anew, behind the deletion
            assert (await harness.end_of(run_id)).row.state is RunState.COMPLETED
