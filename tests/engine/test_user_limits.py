"""Shares of users in an engine: one user's runs do not take all the slots, and go on as soon as one ends."""

from typing import Any

import pytest

from musterd import Agent
from musterd.core.callers import Caller
from musterd.core.records import Input, RunRow
from musterd.core.states import RunState
from musterd.engine import worker
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from musterd.store import claims
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


async def test_a_run_without_room_does_not_lead_to_a_claim_at_each_look(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHARE_SECONDS", 3600.0)
    claim_count, claim = 0, claims.claim

    async def counted_claim(*args: Any, **options: Any) -> list[RunRow]:
        nonlocal claim_count
        claim_count += 1
        return await claim(*args, **options)

    monkeypatch.setattr(claims, "claim", counted_claim)
    model = HeldModel()
    agents = [Agent(id="solo", name="Solo", model=model)]
    async with running(
        harness_on(database_url, agents, model=model, user_concurrency=1, upkeep_seconds=3600)
    ) as harness:
        first = model.hold("first")
        await begin(harness, "first", "a1", ALICE)
        await first.reached.wait()
        await begin(harness, "hello", "a2", ALICE)
        while harness.engine.claimable_components():
            await harness.engine.read_changed_rows()
            await harness.written()
        before = claim_count
        for _ in range(10):
            await harness.engine.read_changed_rows()
            await harness.written()
        assert claim_count <= before + 1, "one may have been asked for before"
        first.release()
        done = await harness.runs.settled_view(RunRef(harness.component(), "a2", None, ALICE), 30)
        assert done.row.state is RunState.COMPLETED, "the end of a run leads to a claim"
        await harness.idle()
