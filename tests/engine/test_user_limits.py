"""Shares of users in an engine: one user's runs do not take all the slots, and go on as soon as one ends."""

from musterd import Agent
from musterd.core.callers import Caller
from musterd.core.records import Input
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def begin(harness: EngineHarness, message: str, run_id: str, caller: Caller) -> None:
    request = RunRequest(input=Input(message=message, options={}), run_id=run_id, has_chosen_id=True, session_id=run_id)
    await harness.runs.start(harness.component(), request, caller)


async def state(harness: EngineHarness, run_id: str, caller: Caller) -> RunState:
    return (await harness.runs.find(RunRef(harness.component(), run_id, None, caller))).row.state


async def test_one_users_runs_wait_while_anothers_begin(database_url: str) -> None:
    model = HeldModel()
    harness = harness_on(database_url, [Agent(id="solo", name="Solo", model=model)], model=model, user_concurrency=1)
    async with running(harness):
        first, second = harness.model.hold("first"), harness.model.hold("second")
        await begin(harness, "first", "a1", ALICE)
        await first.reached.wait()
        await begin(harness, "second", "a2", ALICE)
        await begin(harness, "hello", "b1", BOB)
        done = await harness.runs.settled_view(RunRef(harness.component(), "b1", None, BOB), 30)
        assert done.row.state is RunState.COMPLETED
        assert await state(harness, "a2", ALICE) is RunState.READY
        first.release()
        await second.reached.wait()  # long before upkeep looks
        second.release()
        done = await harness.runs.settled_view(RunRef(harness.component(), "a2", None, ALICE), 30)
        assert done.row.state is RunState.COMPLETED
        await harness.idle()
