"""The attempts of a run: one that ended without ending its run has a row, and each that followed."""

from typing import Any

import pytest

from musterd.core.records import AttemptOutcome, Output, RunAttempt, StepState
from musterd.core.states import RunState
from musterd.core.totals import Totals
from musterd.store import journal, pauses, run_attempts, workers
from musterd.store.attempt_writes import Batch
from musterd.store.pauses import Pause
from tests.support.store import HERE, Records, delta, lease_of, member_of, of_run, step


async def stored(records: Records, run_id: str = "r1") -> list[RunAttempt]:
    return list(await records.database.read(of_run(run_attempts.of_root, run_id)))


async def released(records: Records, worker: str = "w1", *, crashed: bool, at: float = 500.0) -> None:
    await records.database.write(lambda tx: workers.release_runs(tx, worker, at, crashed=crashed))


async def test_a_run_of_one_attempt_has_no_row(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, events=[delta("r1")])
    await records.settle(run)
    assert await stored(records) == []


@pytest.mark.parametrize(
    ("batch", "ended_at"),
    [({}, 101.0), ({"events": [delta("r1", at=130.0)]}, 130.0), ({"steps": ["t0/c0"]}, 140.0)],
    ids=["nothing", "event", "step"],
)
async def test_a_lost_attempt_ended_with_the_last_thing_it_stored(
    records: Records, batch: dict[str, Any], ended_at: float
) -> None:
    run = await records.started("r1")
    if batch:
        values = {**batch}
        if "steps" in batch:
            values["steps"] = [step(run, path, started_at=120.0, ended_at=140.0) for path in batch["steps"]]
        await records.append(run, **values)
    await released(records, crashed=True)
    lost = RunAttempt(attempt=1, worker="w1", started_at=101.0, ended_at=ended_at, outcome=AttemptOutcome.LOST)
    assert await stored(records) == [lost]
    records.worker = "w2"
    (again,) = await records.claim()
    assert await stored(records) == [lost, RunAttempt(attempt=2, worker="w2", started_at=records.now)]
    await records.settle(again)
    assert (await stored(records))[1].outcome is None, "it ended the run, which the run's row says"


@pytest.mark.parametrize(("event_at", "ended_at"), [(130.0, 150.0), (160.0, 160.0)])
async def test_a_lost_attempt_lasted_until_the_last_heartbeat_of_its_process(
    records: Records, event_at: float, ended_at: float
) -> None:
    await records.database.write(lambda tx: workers.add(tx, "w1", [], HERE))
    assert "w1" in await records.database.write(lambda tx: workers.beat(tx, "w1", 90.0))
    run = await records.started("r1")
    await records.database.write(lambda tx: workers.beat(tx, "w1", 150.0))  # it is alone, and has a run
    await records.append(run, events=[delta("r1", at=event_at)])
    await released(records, crashed=True)
    assert [(row.ended_at, row.outcome) for row in await stored(records)] == [(ended_at, AttemptOutcome.LOST)]


async def test_an_attempt_that_stored_nothing_ended_when_it_began(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, events=[delta("r1", at=110.0)])
    await released(records, crashed=True)
    records.now = 300.0
    await records.claim()
    await released(records, crashed=True)
    assert [(row.started_at, row.ended_at) for row in await stored(records)] == [(101.0, 110.0), (301.0, 301.0)]


async def test_processes_that_stop_hand_over(records: Records) -> None:
    await records.started("r1")
    await records.started("r2", "s2")
    await records.database.write(of_run(workers.hand_over, "r2", 1, 400.0, crashed=True))
    await released(records, crashed=False)
    (own,), (other,) = await stored(records), await stored(records, "r2")
    assert (own.outcome, own.ended_at) == (AttemptOutcome.HANDED_OVER, 500.0)
    assert (other.outcome, other.ended_at) == (AttemptOutcome.END_NOT_STORED, 400.0)


async def test_a_pause_that_is_refused_ends_no_attempt(records: Records) -> None:
    run = await records.started("r1")
    how = Pause(at=200.0, expires_at=9e9, output=Output(), messages=[])
    await records.append(run, started=[member_of(run, "m1")])
    await records.execute("UPDATE runs SET cancel_requested_at = 1 WHERE run_id = 'm1'")
    with pytest.raises(pauses.DecisionStored):
        await records.database.write(lambda tx: pauses.pause(tx, lease_of(run), Batch(), how))
    assert await stored(records) == []
    await records.execute("UPDATE runs SET cancel_requested_at = NULL WHERE run_id = 'm1'")
    await records.database.write(lambda tx: pauses.pause(tx, lease_of(run), Batch(), how))
    assert await stored(records) == [
        RunAttempt(attempt=1, worker="w1", started_at=101.0, ended_at=200.0, outcome=AttemptOutcome.PAUSED)
    ]


async def test_totals_and_activity_are_kept_until_they_change(records: Records) -> None:
    run = await records.started("r1")
    totals = Totals(model_calls=2)
    await records.append(run, events=[delta("r1")], totals=totals, activity='{"kind":"model"}')
    await records.append(run, events=[delta("r1")])
    row = await records.row("r1")
    assert (row.totals, row.activity) == (Batch(totals=totals).totals_text, '{"kind":"model"}')
    await released(records, crashed=True)
    row = await records.row("r1")
    assert (row.state, row.totals is None, row.activity) == (RunState.READY, False, None)
    (again,) = await records.claim()
    await records.append(again, events=[delta("r1")], activity='{"kind":"tool"}')
    await records.settle(again, totals=Totals(model_calls=3))
    row = await records.row("r1")
    assert (row.totals, row.activity) == (Batch(totals=Totals(model_calls=3)).totals_text, None)


async def test_a_step_that_is_made_again_keeps_what_was_before(records: Records) -> None:
    run = await records.started("r1")
    earlier = '[{"attempt":1,"started_at":1.0,"ended_at":null,"outcome":"cut_off"}]'
    await records.append(run, steps=[step(run, "t0/c0", StepState.STARTED, name="pay", call_id="c1")])
    await records.append(run, steps=[step(run, "t0/c0", StepState.STARTED, started_at=5.0, earlier=earlier)])
    await records.append(run, steps=[step(run, "t0/c0", started_at=6.0, ended_at=7.0, result="{}")])
    (row,) = await records.database.read(of_run(journal.steps, "r1"))
    assert (row.name, row.call_id, row.started_at, row.ended_at, row.earlier) == ("pay", "c1", 5.0, 7.0, earlier)
