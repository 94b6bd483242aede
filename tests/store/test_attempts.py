"""Claims and what an attempt writes: each claim a new attempt, and every write behind the fence."""

from typing import Any

import pytest

from musterd.core.errors import LeaseLost
from musterd.core.events import Event, EventKind
from musterd.core.records import Output, RunRow, StepKind, StepState, Usage
from musterd.core.states import RunState
from musterd.store import claims, journal, workers
from musterd.store.attempt_writes import Batch, CancelStored, MemberRecord
from tests.support.store import Records, delta, lease_of, member_of, of_run, promoted_id, step

# Claims


async def test_those_that_wait_longest_are_claimed_first(records: Records) -> None:
    for number in range(5):
        await records.accept(f"r{number}", f"s{number}")
    assert [run.run_id for run in await records.claim(limit=2)] == ["r0", "r1"]
    assert [run.run_id for run in await records.claim()] == ["r2", "r3", "r4"]
    assert await records.claim() == []


async def test_higher_priority_is_claimed_first(records: Records) -> None:
    for number in range(3):
        await records.accept(f"r{number}", f"s{number}")
    await records.execute("UPDATE runs SET priority = 5 WHERE run_id = 'r2'")
    assert [run.run_id for run in await records.claim(limit=1)] == ["r2"]


async def test_a_claim_is_an_attempt_of_this_worker(records: Records) -> None:
    accepted = (await records.accept("r1")).run
    (run,) = await records.claim()
    assert await records.row("r1") == run
    assert (run.state, run.attempt, run.worker, run.started_at) == (RunState.RUNNING, 1, "w1", records.now)
    assert run.version == accepted.version + 1
    assert run.queued_at == accepted.queued_at


async def test_only_served_components_are_claimed(records: Records) -> None:
    await records.accept("team", "a", row={"component_kind": "team"})
    await records.accept("other", "b", row={"component_id": "other"})
    assert await records.claim() == []
    records.components = ("agent:other", "team:solo")
    assert {run.run_id for run in await records.claim()} == {"team", "other"}


async def test_queued_runs_and_members_are_not_claimed(records: Records) -> None:
    root = await records.started("r1")
    await records.accept("r2")
    await records.append(root, started=[member_of(root, "m1")])
    records.components = ("agent:solo", "agent:helper")
    assert await records.claim() == []


async def test_a_second_attempt_forgets_nothing(records: Records) -> None:
    root = await records.started("r1")
    other = await records.started("r2", "s2")
    for run, member in ((root, "m1"), (other, "m2")):
        await records.append(run, started=[member_of(run, member)], steps=[step(run, "t0/m")], events=[delta(member)])
    await records.database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))
    await records.execute("UPDATE runs SET state = 'queued', holder = NULL WHERE run_id = 'r2'")
    (again,) = await records.claim(worker="w2")
    assert (again.run_id, again.attempt, again.worker, again.crashes) == ("r1", 2, "w2", 1)
    assert again.started_at == root.started_at, "when the first attempt began"
    assert (again.next_event, await records.events("r1")) == (1, [(0, delta("m1"))])
    assert await records.states() == {"r1": "running", "m1": "running", "r2": "queued", "m2": "running"}
    (stored_step,) = await records.database.read(of_run(journal.steps, "r1"))
    assert stored_step == step(root, "t0/m"), "as its first attempt wrote it"
    assert await records.select("SELECT run_id FROM run_io ORDER BY run_id") == [
        {"run_id": "m1"},
        {"run_id": "m2"},
        {"run_id": "r1"},
        {"run_id": "r2"},
    ]


async def test_progress_forgets_the_crashes_before_it(records: Records) -> None:
    await records.started("r1")
    await records.database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))
    (again,) = await records.claim()
    await records.append(again, events=[delta("r1")], steps=[step(again, "t0/c0", StepState.STARTED)])
    assert (await records.row("r1")).crashes == 1, "an intent is no progress"
    await records.append(again, steps=[step(again, "t0/model", StepState.CANCELLED, kind=StepKind.MODEL)])
    assert (await records.row("r1")).crashes == 1, "a model call that was stopped is made again"
    await records.append(again, steps=[step(again, "t0/c0")])
    assert (await records.row("r1")).crashes == 0


# The fence


async def released(records: Records, run: RunRow) -> None:
    await records.database.write(lambda tx: workers.release_runs(tx, "w1", 1.0, crashed=True))


async def taken_over(records: Records, run: RunRow) -> None:
    await released(records, run)
    await records.claim(worker="w2")


async def ended(records: Records, run: RunRow) -> None:
    await records.settle(run)


async def ended_by_another(records: Records, run: RunRow) -> None:
    await taken_over(records, run)
    await records.settle(await records.row(run.run_id))


def everything_of(run: RunRow) -> dict[str, Any]:
    ending = member_of(run, "m0")
    ending.run.state, ending.run.ended_at, ending.output = RunState.COMPLETED, 1.0, Output(content="late")
    return {
        "events": [delta(run.run_id)],
        "steps": [step(run, "t0/c0"), step(run, "t1/m")],
        "started": [member_of(run, "m1")],
        "ended": [ending],
        "first_token_at": 9.0,
    }


@pytest.mark.parametrize("lose", [released, taken_over, ended, ended_by_another])
@pytest.mark.parametrize("how", ["append", "settle"])
async def test_a_stale_attempt_writes_nothing(records: Records, lose: Any, how: str) -> None:
    run = await records.started("r1")
    await records.accept("r2")
    await records.append(run, started=[member_of(run, "m0")], steps=[step(run, "t0/c0", StepState.STARTED)])
    await lose(records, run)
    before = await records.everything()
    late: dict[str, Any] = everything_of(run)
    if how == "settle":
        late |= {"messages": ['{"late":1}'], "state_delta": {"set": {"late": 1}}}
    with pytest.raises(LeaseLost):
        await getattr(records, how)(run, **late)
    assert await records.everything() == before


async def test_the_fence_is_per_run(records: Records) -> None:
    first, second = await records.started("r1", "s1"), await records.started("r2", "s2")
    await records.settle(first)
    assert await records.append(second, events=[delta("r2")]) == 0


# What a batch writes


async def test_indexes_go_up_without_a_gap_within_a_flush(records: Records) -> None:
    run = await records.started("r1")
    firsts = [await records.append(run, events=[delta("r1", f"{n}.{m}") for m in range(n)]) for n in (1, 3, 0, 2)]
    assert firsts == [0, 1, 4, 4]
    events = await records.events("r1")
    assert [index for index, _ in events] == [0, 1, 2, 3, 4, 5]
    assert [event.data["text"] for _, event in events] == ["1.0", "3.0", "3.1", "3.2", "2.0", "2.1"]
    assert len(await records.select("SELECT * FROM run_events")) == 3, "one row a flush, none for no events"


async def test_the_index_is_told_before_the_events_are_written(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, events=[delta("r1")])

    def place(batch: Batch, first_index: int) -> None:
        batch.events[0].data["from"] = first_index

    await records.append(run, events=[Event(EventKind.RUN_CONTINUED, "r1", 1.0, {})], on_indexed=place)
    assert (await records.events("r1"))[-1][1].data == {"from": 1}


async def test_a_step_goes_from_intent_to_result(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, steps=[step(run, "t0/c0", StepState.STARTED, fingerprint="asked")])
    done = step(run, "t0/c0", started_at=7.0, ended_at=8.0, result='"r"', usage=Usage(input_tokens=3))
    await records.append(run, steps=[done])
    (row,) = await records.select("SELECT * FROM journal")
    assert (row["state"], row["result"], row["ended_at"], row["attempt"]) == ("completed", '"r"', 8.0, 1)
    assert (row["fingerprint"], row["started_at"]) == ("asked", 1.0), "the intent's own stay"


async def test_a_member_begins_and_ends(records: Records) -> None:
    run = await records.started("r1")
    member = member_of(run, "m1")
    await records.append(run, started=[member])
    row = await records.row("m1")
    assert (row.state, row.root_id, row.parent_id, row.path) == (RunState.RUNNING, "r1", "r1", "t0/c0")
    assert (row.lane, row.seq, row.holder, row.worker, row.attempt) == (None, None, None, None, 0)
    failed = Output(content="why", error={"code": "model_error", "message": "why", "retryable": True})
    row.state, row.ended_at = RunState.ERROR, 5.0
    await records.append(run, ended=[MemberRecord(run=row, output=failed, messages=["1", "2"])])
    assert (await records.row("m1")).state is RunState.ERROR
    (stored,) = await records.select("SELECT error_code, messages FROM runs JOIN run_io USING (run_id) WHERE path > ''")
    assert stored == {"error_code": "model_error", "messages": "[1,2]"}


async def test_the_first_token_is_noted_once(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run)
    await records.append(run, first_token_at=5.0)
    await records.append(run, first_token_at=6.0)
    assert (await records.row("r1")).first_token_at == 5.0


# The end


async def test_the_end_is_stored_with_everything_that_hangs_on_it(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, started=[member_of(run, "open"), member_of(run, "over", "t0/c1")])
    over = await records.row("over")
    over.state, over.ended_at = RunState.ERROR, 3.0
    await records.append(run, ended=[MemberRecord(run=over)], events=[delta("r1")])
    await records.accept("r2")
    await records.accept("r3")
    settled = await records.settle(
        run, output=Output(content="answer"), messages=['{"m":1}'], state_delta={"set": {"k": 1}}, events=[delta("r1")]
    )
    assert (settled.first_index, promoted_id(settled), settled.is_session_deleted) == (1, "r2", False)
    row = await records.row("r1")
    assert (row.state, row.holder, row.worker, row.ended_at) == (RunState.COMPLETED, None, "w1", records.now)
    assert await records.states() == {
        "r1": "completed", "open": "cancelled", "over": "error", "r2": "ready", "r3": "queued",
    }  # fmt: skip
    assert (await records.row("r2")).holder == "s1"
    (io,) = await records.select("SELECT output, messages FROM run_io WHERE run_id = 'r1'")
    assert io["messages"] == '[{"m":1}]'
    assert '"content":"answer"' in io["output"]
    assert await records.select("SELECT state FROM sessions") == [{"state": '{"k":1}'}]


async def test_a_failed_run_closes_its_members_as_failed(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, started=[member_of(run, "m1")])
    error = {"code": "time_limit", "message": "too long", "retryable": False}
    await records.settle(run, RunState.ERROR, output=Output(error=error))
    assert await records.states() == {"r1": "error", "m1": "error"}
    assert (await records.row("r1")).error_code == "time_limit"


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.ERROR])
async def test_after_a_stored_cancel_only_a_cancelled_end_stands(records: Records, state: RunState) -> None:
    run = await records.started("r1")
    await records.accept("r2")
    await records.cancel("r1")
    before = await records.everything()
    with pytest.raises(CancelStored):
        await records.settle(run, state, events=[delta("r1")])
    assert await records.everything() == before
    assert promoted_id(await records.settle(run, RunState.CANCELLED, events=[delta("r1")])) == "r2"
    assert (await records.row("r1")).state is RunState.CANCELLED


async def test_an_end_is_final(records: Records) -> None:
    run = await records.started("r1")
    await records.settle(run, RunState.CANCELLED)
    for state in (RunState.CANCELLED, RunState.COMPLETED):
        with pytest.raises(LeaseLost):
            await records.settle(run, state)
    assert lease_of(await records.row("r1")) == lease_of(run)


async def test_state_is_merged_by_key_in_order_of_finishing(records: Records) -> None:
    await records.accept("r1")
    await records.execute("""UPDATE sessions SET state = '{"old":1,"gone":1,"kept":{"a":1}}'""")
    (first,) = await records.claim()
    await records.settle(first, state_delta={"set": {"a": 1, "both": "first"}, "removed": ["gone", "never"]})
    second = await records.started("r2")
    await records.settle(second, state_delta={"set": {"both": "second"}, "removed": []})
    await records.settle(await records.started("r3"), state_delta=None)
    (row,) = await records.select("SELECT state, updated_at FROM sessions")
    assert row == {"state": '{"old":1,"kept":{"a":1},"a":1,"both":"second"}', "updated_at": records.now}


async def test_a_crash_before_anything_is_stored_gives_no_run_up_for_its_steps(records: Records) -> None:
    async def crashed(*, stores: bool) -> RunState:
        run = await records.row("r1")
        if stores:
            await records.append(run, events=[delta("r1")])
        await records.database.write(lambda tx: workers.release_runs(tx, run.worker or "", 1.0, crashed=True))
        if (await records.row("r1")).state is not RunState.READY:
            return (await records.row("r1")).state
        await records.execute("UPDATE runs SET not_before = NULL")
        await records.database.write(lambda tx: claims.claim(tx, "w1", records.components, 1, 2.0, crashes=(0, 9)))
        return (await records.row("r1")).state

    await records.started("r1")
    for _ in range(10):
        assert await crashed(stores=False) is RunState.RUNNING
    row = await records.row("r1")
    assert (row.crashes, row.attempt) == (2, 11)
    assert [await crashed(stores=True) for _ in range(3)] == [RunState.RUNNING, RunState.RUNNING, RunState.ERROR]
    (counted,) = await records.select("SELECT crashes, crashes_in_all, error_code FROM runs")
    assert counted == {"crashes": 5, "crashes_in_all": 13, "error_code": "crashed"}
