"""Pauses and decisions: a run hands itself to a person, and each decision is taken once."""

from dataclasses import replace
from typing import Any

import pytest

from musterd.core.errors import Conflict, InvalidInput, LeaseLost, NotFound
from musterd.core.events import Event, EventKind
from musterd.core.records import Output, RunRow, SteeringMessage, StepState, ToolCall
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.core.states import RunState
from musterd.store import approvals, decisions, disconnect, pauses, run_forks, sessions, steering
from musterd.store.attempt_writes import Batch, CancelStored, Settled
from musterd.store.pauses import DecisionStored, Pause
from tests.support.store import Records, lease_of, member_of, new_run, of_run, promoted_id, step

YES = Verdict.RUN
ME = decisions.DecisionSource(by="me", now=7.0)


def asks(run: RunRow, path: str = "t0/c0", name: str = "q1") -> Requirement:
    """A call that was cut off."""
    return Requirement(
        id=name,
        kind=RequirementKind.UNKNOWN_OUTCOME,
        path=path,
        tool=ToolCall(id=f"call of {name}", name="pay", args={}, created_at=1.0),
        run_id=run.run_id,
        component_kind="agent",
        component_id="solo",
        component_name="Solo",
        created_at=1.0,
        started_at=0.5,
    )


async def pause(records: Records, run: RunRow, **batch: Any) -> Settled:
    how = Pause(at=5.0, expires_at=99.0, output=Output(content="why"), messages=["{}"])
    return await records.database.write(lambda tx: pauses.pause(tx, lease_of(run), Batch(**batch), how))


async def decide(records: Records, key: str, verdict: Verdict = YES, run_id: str = "r1", **said: Any) -> RunRow:
    said_so = [Decision(key=key, verdict=verdict, **said)]
    return await records.database.write(of_run(decisions.decide, run_id, said_so, ME))


async def paused(records: Records, *names: str) -> RunRow:
    """A run that waits for these."""
    run = await records.started("r1")
    opened = [asks(run, f"t0/c{number}", name) for number, name in enumerate(names)]
    await pause(records, run, opened=opened)
    return run


async def states(records: Records) -> list[tuple[str, str]]:
    rows = await records.select("SELECT id, state FROM approvals ORDER BY path, id")
    return [(row["id"], row["state"]) for row in rows]


async def test_a_pause_frees_the_line_and_keeps_everything(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, started=[member_of(run, "m1")])
    await records.accept("r2")
    before = await records.row("m1")
    event = Event(EventKind.RUN_PAUSED, "r1", 5.0, {"content": "why"}, "attempt 1")
    waits = [step(run, "t0/c0", StepState.UNKNOWN)]
    settled = await pause(records, run, opened=[asks(run)], steps=waits, events=[event])
    assert (settled.first_index, promoted_id(settled)) == (0, "r2")
    row = await records.row("r1")
    assert (row.state, row.holder, row.worker, row.ended_at, row.attempt) == (RunState.PAUSED, None, None, None, 1)
    assert row.version > run.version
    assert await records.states() == {"r1": "paused", "m1": "paused", "r2": "ready"}
    assert (await records.row("m1")).version > before.version, "a tag of the member as it was does not fit any more"
    assert await records.events("r1") == [(0, event)]
    assert await states(records) == [("q1", "pending")]
    with pytest.raises(LeaseLost):
        await records.append(run)


async def test_a_pause_needs_no_reader(records: Records) -> None:
    """Neither while it waits nor when it goes on: whoever decides need not be whoever began it."""

    async def abandoned() -> bool:
        done = await records.database.write(lambda tx: disconnect.cancel_abandoned(tx, "r1", "disconnect", 6.0))
        return done is not None

    run = await records.started("r1", row={"cancel_on_disconnect": 1})
    await pause(records, run, opened=[asks(run)])
    assert not await abandoned()
    await decide(records, "q1")
    assert not await abandoned()
    assert (await records.row("r1")).state is RunState.READY


async def test_it_goes_on_where_its_line_is_free(records: Records) -> None:
    run = await paused(records, "q1", "q2")
    continued = await decide(records, "call of q2")
    assert (continued.state, continued.holder) == (RunState.READY, "s1")
    assert await states(records) == [("q1", "pending"), ("q2", "decided")]
    (again,) = await records.claim()
    assert (again.run_id, again.attempt, again.crashes) == ("r1", 2, run.crashes)
    await records.append(again, consumed=["t0/c1"])
    assert await states(records) == [("q1", "pending"), ("q2", "consumed")]
    await pause(records, again)
    assert (await records.row("r1")).state is RunState.PAUSED


async def test_else_it_is_first_in_the_queue(records: Records) -> None:
    await paused(records, "q1")
    second = await records.started("r2")
    await records.accept("r3")
    assert (await decide(records, "q1")).state is RunState.QUEUED
    assert promoted_id(await records.settle(second)) == "r1"


async def test_the_same_decision_is_taken_once(records: Records) -> None:
    await paused(records, "q1")
    said: dict[str, Any] = {"verdict": Verdict.REFUSED, "note": "no"}
    await decide(records, "q1", **said)
    before = await records.everything()
    assert (await decide(records, "call of q1", **said)).state is RunState.READY
    assert await records.everything() == before
    for other in (YES, Verdict.REFUSED):
        with pytest.raises(Conflict):
            await decide(records, "q1", other)
    assert await records.everything() == before


async def test_what_cannot_be_decided(records: Records) -> None:
    with pytest.raises(NotFound):
        await decide(records, "q1")
    run = await records.started("r1")
    with pytest.raises(Conflict):
        await decide(records, "q1")
    await pause(records, run, opened=[asks(run)])
    with pytest.raises(InvalidInput):
        await decide(records, "other")
    with pytest.raises(InvalidInput):
        await records.database.write(of_run(decisions.decide, "r1", [], ME))
    await records.cancel("r1")
    assert await states(records) == [("q1", "closed")]
    with pytest.raises(Conflict):
        await decide(records, "q1")


async def test_one_decision_that_is_wrong_takes_none(records: Records) -> None:
    await paused(records, "q1", "q2")
    both = [Decision(key="q1", verdict=YES), Decision(key="q3", verdict=YES)]
    with pytest.raises(InvalidInput):
        await records.database.write(of_run(decisions.decide, "r1", both, ME))
    both[1:] = [Decision(key="call of q1", verdict=Verdict.REFUSED)]
    with pytest.raises(InvalidInput, match="two decisions"):
        await records.database.write(of_run(decisions.decide, "r1", both, ME))
    assert await states(records) == [("q1", "pending"), ("q2", "pending")]
    assert (await records.row("r1")).state is RunState.PAUSED


async def test_no_pause_before_a_decision_is_acted_on(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, opened=[asks(run)])
    assert (await decide(records, "q1")).state is RunState.RUNNING
    before = await records.everything()
    with pytest.raises(DecisionStored):
        await pause(records, run)
    assert await records.everything() == before
    await records.append(run, consumed=["t0/c0"])
    await pause(records, run)


async def test_no_pause_once_a_cancel_is_stored(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, opened=[asks(run)])
    await records.cancel("r1")
    with pytest.raises(CancelStored):
        await pause(records, run)
    await records.settle(run, RunState.CANCELLED)
    assert await states(records) == [("q1", "closed")]
    with pytest.raises(LeaseLost):
        await pause(records, run)


async def test_an_end_closes_decisions_that_nobody_acted_on(records: Records) -> None:
    await paused(records, "q1", "q2")
    await decide(records, "q1")
    await records.cancel("r1")
    assert await states(records) == [("q1", "closed"), ("q2", "closed")]


async def test_a_call_that_is_cut_off_again_asks_anew(records: Records) -> None:
    await paused(records, "q1")
    await decide(records, "q1")
    (run,) = await records.claim()
    restarted = step(run, "t0/c0", StepState.STARTED, started_at=8.0)
    await records.append(run, consumed=["t0/c0"], steps=[restarted])
    anew = replace(asks(run, name="q2"), started_at=8.0)
    await records.append(run, opened=[anew])
    before, row = await records.database.read(of_run(approvals.of_root, "r1"))
    assert (row.requirement, row.state, row.decision) == (anew, "pending", None)
    assert (before.requirement.id, before.state) == ("q1", "consumed"), "who decided about it stays on record"
    await decide(records, "q1")
    assert await states(records) == [("q1", "consumed"), ("q2", "pending")], "the old decision is about the old call"


async def test_nobody_decides_about_or_speaks_to_a_run_of_a_session_that_was_deleted(records: Records) -> None:
    await paused(records, "q1")
    await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 6.0))
    with pytest.raises(NotFound):
        await decide(records, "q1")
    said = SteeringMessage(id="m1", run_id="r1", text="hello", sent_by="client", created_at=6.0)
    with pytest.raises(Conflict):
        await records.database.write(of_run(steering.send, "r1", said))
    assert (await records.row("r1")).state is RunState.PAUSED
    assert await states(records) == [("q1", "pending")]


async def test_nobody_goes_on_from_a_failed_run_of_a_session_that_was_deleted(records: Records) -> None:
    run = await records.started("r1")
    await records.settle(run, RunState.ERROR)
    await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 6.0))
    again = records.candidate(new_run("r2", created_at=500.0, forked_from="r1"))
    with pytest.raises(NotFound):
        await records.database.write(lambda tx: run_forks.accept(tx, again, "r1", None))
