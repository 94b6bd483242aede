"""Shares of users in an engine: one user's runs do not take all the slots, and go on as soon as one ends."""

from musterd import Agent
from musterd.core.callers import Caller
from musterd.core.records import Input
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from tests.support.engine import Works, running, works_on
from tests.support.held_model import HeldModel

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def begin(works: Works, message: str, run_id: str, caller: Caller) -> None:
    wanted = RunRequest(input=Input(message=message, options={}), run_id=run_id, has_chosen_id=True, session_id=run_id)
    await works.runs.start(works.component(), wanted, caller)


async def state(works: Works, run_id: str, caller: Caller) -> RunState:
    return (await works.runs.find(RunRef(works.component(), run_id, None, caller))).row.state


async def test_one_users_runs_wait_while_anothers_begin(database_url: str) -> None:
    model = HeldModel()
    works = works_on(database_url, [Agent(id="solo", name="Solo", model=model)], model=model, user_concurrency=1)
    async with running(works):
        first, second = works.model.hold("first"), works.model.hold("second")
        await begin(works, "first", "a1", ALICE)
        await first.reached.wait()
        await begin(works, "second", "a2", ALICE)
        await begin(works, "hello", "b1", BOB)
        done = await works.runs.settled_view(RunRef(works.component(), "b1", None, BOB), 30)
        assert done.row.state is RunState.COMPLETED
        assert await state(works, "a2", ALICE) is RunState.READY
        first.release()
        await second.reached.wait()  # long before upkeep looks
        second.release()
        done = await works.runs.settled_view(RunRef(works.component(), "a2", None, ALICE), 30)
        assert done.row.state is RunState.COMPLETED
        await works.idle()
