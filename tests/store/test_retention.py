"""What is old goes, with all that hangs on it; what somebody may still need stays."""

from collections.abc import Sequence

import pytest

from musterd.core.events import Event, EventKind
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import idempotency, retention, session_deletion, sessions
from musterd.store.database import Statement, Tx
from musterd.store.idempotency import Request
from musterd.store.run_removal import RUN_TABLES, Removable, slices
from tests.support.store import TABLES, Records, delta, member_of, step

LATER = 10_000.0


async def old(records: Records, before: float = LATER, limit: int = 100) -> list[str]:
    runs = await records.database.scan(lambda tx: retention.old_runs(tx, before, limit))
    return [run.run_id for run in runs]


async def unused(records: Records) -> list[str]:
    return list(await records.database.scan(lambda tx: retention.unused_sessions(tx, LATER, 100)))


async def remove(records: Records, session_id: str, *roots: str) -> int:
    runs = [Removable(root, session_id, 1.0, 1) for root in roots]
    return await records.database.write(lambda tx: retention.remove_runs(tx, runs, 1.0))


async def ended(records: Records, run_id: str, session_id: str = "s1", *contents: bytes) -> RunRow:
    """A run that left a row in every table there is."""
    run = await records.started(run_id, session_id, key=f"key-{run_id}", has_chosen_id=True)
    member = member_of(run, f"{run_id}-member")
    await records.append(run, started=[member], steps=[step(run, "t0/c0")], contents=contents, events=[delta(run_id)])
    member.run.ended_at = records.now
    member.run.state = RunState.COMPLETED
    await records.settle(run, ended=[member], events=[Event(EventKind.RUN_COMPLETED, run_id, 1.0)])
    return run


async def test_a_run_goes_with_all_that_hangs_on_it(records: Records) -> None:
    await ended(records, "r1", "s1", b"shared", b"own")
    before = await records.counts()
    await ended(records, "r2", "s1", b"shared")
    assert sorted(await old(records)) == ["r1", "r2"]
    assert await remove(records, "s1", "r2") == 1
    assert await records.counts() == before, "nothing of it is left, and nothing of others is gone"
    assert await remove(records, "s1", "r1") == 1
    assert await records.counts() == {"sessions": 1}, "what nobody refers to any more goes with the last"
    assert await unused(records) == ["s1"]


async def test_a_key_goes_with_its_run(records: Records) -> None:
    await ended(records, "r1")
    await remove(records, "s1", "r1")
    again = await records.accept("r1", "s1", key="key-r1", has_chosen_id=True)
    assert not again.is_repeated


async def test_what_ended_lately_stays(records: Records) -> None:
    await ended(records, "r1")
    between = records.now + 0.5
    await ended(records, "r2", "s2")
    assert await old(records, between) == ["r1"]


async def test_a_session_that_lives_keeps_its_runs(records: Records) -> None:
    await ended(records, "r1")
    runs = await old(records)
    await records.accept("r2", "s1")
    assert await old(records) == []
    assert await remove(records, "s1", *runs) == 0, "it began to live after the look"
    (run,) = await records.claim()
    assert await remove(records, "s1", "r1") == 0
    await records.settle(run)
    assert await remove(records, "s1", "r1", "r2") == 2


async def test_two_at_once_remove_once(records: Records) -> None:
    await ended(records, "r1")
    assert await remove(records, "s1", "r1") == 1
    await remove(records, "s1", "r1")
    assert await old(records) == []


async def test_a_session_goes_once_it_has_no_runs_and_nobody_uses_it(records: Records) -> None:
    await ended(records, "r1")

    async def gone(before: float) -> int:
        return await records.database.write(lambda tx: retention.remove_sessions(tx, ["s1"], before))

    assert await gone(LATER) == 0
    await remove(records, "s1", "r1")
    assert await gone(1.0) == 0, "it was used since"
    assert await gone(LATER) == 1
    assert await records.counts() == {}


async def test_an_end_is_looked_for_in_small_pieces(records: Records) -> None:
    for number in range(5):
        await ended(records, f"r{number}", f"s{number}")
    assert len(await old(records, limit=2)) == 2


async def test_a_decision_under_a_key_goes_too(records: Records) -> None:
    run = await ended(records, "r1")
    request = Request(caller="", kind="continue", key="k", fingerprint="f")
    await records.database.write(lambda tx: idempotency.keep(tx, request, run.run_id, 1.0))
    await remove(records, "s1", "r1")
    assert await records.select("SELECT * FROM requests") == []


def test_every_table_of_runs_is_known() -> None:
    apart = {"sessions", "runs", "blobs", "blob_uses", "workers", "memories", "daily_metrics"}
    assert {table for table, _ in RUN_TABLES} == (set(TABLES) | {"run_messages"}) - apart


async def test_runs_of_several_sessions_go_together(records: Records) -> None:
    """A session that begins to live, or that somebody holds, keeps its own; those of the others go."""
    for number in range(3):
        await ended(records, f"r{number}", f"s{number}", b"shared")
    await records.accept("live", "s1")
    runs = [Removable(f"r{number}", f"s{number}", 1.0, 1) for number in range(3)]
    assert await records.database.write(lambda tx: retention.remove_runs(tx, runs, 1.0)) == 2
    assert {root for root in await records.states() if "member" not in root} == {"r1", "live"}
    assert len(await records.select("SELECT hash FROM blobs")) == 1


def test_a_slice_is_of_few_runs_or_few_events() -> None:
    small = [Removable(f"r{number}", "s", 1.0, 10) for number in range(120)]
    assert [len(some) for some in slices(small)] == [50, 50, 20]
    large = [Removable(f"r{number}", "s", 1.0, events) for number, events in enumerate((900, 900, 900, 9000, 1))]
    assert [len(some) for some in slices(large)] == [2, 1, 1, 1]
    assert list(slices([])) == []


class Defect(Exception):
    """A hook fails."""


async def test_a_hook_acts_in_the_transaction_that_removes_old_runs(records: Records) -> None:
    await ended(records, "r1")
    runs = [Removable("r1", "s1", 1.0, 1)]
    calls: list[tuple[Sequence[str], float, int]] = []

    async def fail(tx: Tx, roots: Sequence[str], now: float) -> None:
        raise Defect

    async def note(tx: Tx, roots: Sequence[str], now: float) -> None:
        rows = await tx.all(Statement("test_roots_at_removal", "SELECT run_id FROM runs WHERE parent_id IS NULL"), {})
        calls.append((roots, now, len(rows)))

    with pytest.raises(Defect):
        await records.database.write(lambda tx: retention.remove_runs(tx, runs, 5.0, [fail]))
    assert "r1" in await records.states()
    await records.database.write(lambda tx: retention.remove_runs(tx, runs, 5.0, [note]))
    assert calls == [(["r1"], 5.0, 1)], "its rows are still there"
    assert await records.states() == {}


@pytest.mark.parametrize("is_by_upkeep", [False, True], ids=["request", "upkeep"])
async def test_a_hook_acts_in_the_transaction_that_removes_a_deleted_session(
    records: Records, is_by_upkeep: bool
) -> None:
    await ended(records, "r1")
    calls: list[tuple[Sequence[str], float]] = []

    async def note(tx: Tx, roots: Sequence[str], now: float) -> None:
        calls.append((roots, now))

    async def remove_session(tx: Tx) -> None:
        await sessions.mark_deleted(tx, "s1", 7.0)
        if is_by_upkeep:
            await session_deletion.remove_some(tx, 7.0, [note])
        else:
            await session_deletion.remove_some_of(tx, "s1", [note])

    await records.database.write(remove_session)
    assert calls == [(["r1"], 7.0)]
    assert await records.states() == {}
