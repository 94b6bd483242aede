"""Many at once, on every database: a line has one holder and is never forgotten, a run one attempt at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest

from musterd.core.errors import Conflict, LeaseLost
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import blobs, workers
from musterd.store.acceptance import Accepted
from musterd.store.attempt_writes import CancelStored
from musterd.store.shards import SessionTx
from tests.support.store import Records, delta, member_of, promoted_id


async def lines(records: Records) -> dict[str, list[str]]:
    """The states of the runs of each line that are not over, in order."""
    rows = await records.select("SELECT lane, state FROM runs WHERE parent_id IS NULL ORDER BY lane, seq")
    states: dict[str, list[str]] = {}
    for row in rows:
        if not RunState(row["state"]).is_final:
            states.setdefault(row["lane"], []).append(row["state"])
    return states


async def assert_sound(records: Records) -> None:
    """Each line that has runs has one that holds it, and that one is its first."""
    for lane, states in (await lines(records)).items():
        assert states[0] in ("ready", "running"), (lane, states)
        assert set(states[1:]) <= {"queued"}, (lane, states)
    rows = await records.select("SELECT lane, state, holder FROM runs WHERE parent_id IS NULL")
    assert all(row["holder"] == (row["lane"] if row["state"] in ("ready", "running") else None) for row in rows)


async def test_twenty_at_once_into_one_session_get_twenty_places(records: Records) -> None:
    accepted = await asyncio.gather(*(records.accept(f"r{number}", slot="w1") for number in range(20)))
    assert sorted(acceptance.run.seq or 0 for acceptance in accepted) == list(range(20))
    running = [acceptance.run for acceptance in accepted if acceptance.run.state is RunState.RUNNING]
    assert [run.seq for run in running] == [0]
    assert sum(acceptance.run.state is RunState.QUEUED for acceptance in accepted) == 19
    await assert_sound(records)


async def test_twenty_at_once_into_twenty_sessions_all_run(records: Records) -> None:
    accepted = await asyncio.gather(*(records.accept(f"r{n}", f"s{n}", slot="w1") for n in range(20)))
    assert {acceptance.run.state for acceptance in accepted} == {RunState.RUNNING}


async def test_an_end_and_an_acceptance_at_once_leave_no_line_without_its_next(records: Records) -> None:
    run = await records.started("r0")
    for number in range(1, 16):
        settled, accepted = await asyncio.gather(records.settle(run), records.accept(f"r{number}"))
        assert (settled.promoted is None) == (accepted.run.state is RunState.READY)
        await assert_sound(records)
        (run,) = await records.claim()


async def test_a_cancel_and_an_acceptance_at_once_leave_no_line_without_its_next(records: Records) -> None:
    await records.accept("r0")
    for number in range(1, 16):
        await asyncio.gather(records.cancel(f"r{number - 1}"), records.accept(f"r{number}"))
        await assert_sound(records)


async def test_claims_at_once_share_what_is_ready(records: Records) -> None:
    for number in range(30):
        await records.accept(f"r{number}", f"s{number}")
    names = [f"w{number}" for number in range(6)]
    claimed = await asyncio.gather(*(records.claim(limit=5, worker=name) for name in names))
    left = await records.claim(limit=30, worker="late")  # whoever finds all rows held goes away empty
    run_ids = [run.run_id for runs in [*claimed, left] for run in runs]
    assert sorted(run_ids) == sorted(f"r{number}" for number in range(30))
    for name, runs in zip([*names, "late"], [*claimed, left], strict=True):
        assert all((run.worker, run.attempt) == (name, 1) for run in runs)
        assert all([await records.row(run.run_id) == run for run in runs])


async def test_the_same_request_at_once_is_one_run(records: Records) -> None:
    """Its session is made by the server, so that nothing but the run's id brings the two together."""
    accepting = [records.accept("r1", f"s{number}", has_chosen_id=True) for number in range(6)]
    results: list[Accepted] = await asyncio.gather(*accepting)
    assert sorted(accepted.is_repeated for accepted in results) == [False] + [True] * 5
    assert len({accepted.run.session_id for accepted in results}) == 1
    assert len(await records.select("SELECT * FROM sessions")) == 1


async def test_other_requests_of_one_id_at_once_are_conflicts(records: Records) -> None:
    accepting = [records.accept("r1", f"s{n}", has_chosen_id=True, fingerprint=str(n)) for n in range(6)]
    results = await asyncio.gather(*accepting, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Accepted"] + [Conflict.__name__] * 5


async def test_events_of_one_run_at_once_get_indexes_of_their_own(records: Records) -> None:
    run = await records.started("r1")
    firsts = await asyncio.gather(*(records.append(run, events=[delta("r1")] * 3) for _ in range(12)))
    assert sorted(firsts) == list(range(0, 36, 3))
    assert [index for index, _ in await records.events("r1")] == list(range(36))


async def test_a_worker_that_two_take_over_is_taken_over_once(records: Records) -> None:
    for number in range(6):
        await records.started(f"r{number}", f"s{number}")
        await records.accept(f"next{number}", f"s{number}")
    for number in (1, 4):
        await records.cancel(f"r{number}")
    take_over = [
        records.database.write(lambda tx: workers.release_runs(tx, "w1", 900.0, crashed=True)) for _ in range(4)
    ]
    results = await asyncio.gather(*take_over)
    assert sorted(run.run_id for released in results for run in released.ready) == ["r0", "r2", "r3", "r5"]
    assert sorted(str(promoted_id(done)) for released in results for done in released.ended) == ["next1", "next4"]
    assert {row["crashes"] for row in await records.select("SELECT crashes FROM runs WHERE state = 'ready'")} == {0, 1}
    await assert_sound(records)


async def test_processes_that_start_at_once_agree_on_one_instance(records: Records) -> None:
    def agree(name: str) -> Awaitable[str]:
        return records.database.write(lambda tx: workers.instance(tx, name, "1", 1.0))

    results = await asyncio.gather(*(agree(f"i{number}") for number in range(6)))
    assert len(set(results)) == 1
    assert await records.select("SELECT id FROM instance") == [{"id": results[0]}]


async def test_the_same_media_at_once_is_stored_once(records: Records) -> None:
    await asyncio.gather(
        *(records.database.write(lambda tx: blobs.put(SessionTx(tx, "s1"), "r1", [b"same"], 1.0)) for _ in range(6))
    )
    assert len(await records.select("SELECT hash FROM blobs")) == 1


async def test_media_that_a_run_takes_up_while_the_last_other_lets_go_of_them_stay(records: Records) -> None:
    def put(run_id: str, *contents: bytes) -> Awaitable[None]:
        return records.database.write(
            lambda tx: blobs.put(SessionTx(tx, run_id), run_id, contents, 1.0, until_end=True)
        )

    def release(run_id: str) -> Awaitable[None]:
        return records.database.write(lambda tx: blobs.release(SessionTx(tx, run_id), run_id))

    for turn in range(20):
        await put("old", b"same")
        await asyncio.gather(release("old"), put("new", b"same", b"more"))
        assert len(await records.select("SELECT hash FROM blobs")) == 2, turn
        await release("new")
        assert await records.select("SELECT hash FROM blobs") == []


class Crowd:
    """Clients, workers and those who take over from them, all at once, each doing what comes to its mind."""

    def __init__(self, records: Records, seed: int) -> None:
        self.records = records
        self.chance = random.Random(seed)  # noqa: S311 - picks what a test does
        self.running: list[RunRow] = []
        self.ends: dict[str, int] = {}
        self.names: Iterator[str] = (f"r{number}" for number in range(10_000))

    async def accept(self) -> None:
        slot = self.chance.choice([None, "w1", "w2"])
        accepted = await self.records.accept(next(self.names), f"s{self.chance.randrange(3)}", slot=slot)
        if accepted.run.state is RunState.RUNNING:
            self.running.append(accepted.run)

    async def claim(self) -> None:
        self.running += await self.records.claim(self.chance.randrange(1, 4), self.chance.choice(["w1", "w2"]))

    async def append(self) -> None:
        for run in self.chance.sample(self.running, min(1, len(self.running))):
            name = f"m{self.chance.random()}"
            try:
                await self.records.append(run, started=[member_of(run, name)], events=[delta(run.run_id)] * 2)
            except LeaseLost:
                self.running = [other for other in self.running if other is not run]

    async def settle(self) -> None:
        for run in self.chance.sample(self.running, min(1, len(self.running))):
            self.running = [other for other in self.running if other is not run]
            await self._settle(run, RunState.COMPLETED)

    async def _settle(self, run: RunRow, state: RunState) -> None:
        try:
            await self.records.settle(run, state, events=[delta(run.run_id)])
        except CancelStored:
            await self._settle(run, RunState.CANCELLED)
        except LeaseLost:
            return
        else:
            self.ends[run.run_id] = self.ends.get(run.run_id, 0) + 1

    async def cancel(self) -> None:
        rows = await self.records.select("SELECT run_id FROM runs WHERE parent_id IS NULL")
        if rows:
            done = await self.records.cancel(self.chance.choice(rows)["run_id"])
            if done is not None and done.end_event is not None:
                self.ends[done.run.run_id] = self.ends.get(done.run.run_id, 0) + 1

    async def take_over(self) -> None:
        worker, now = self.chance.choice(["w1", "w2"]), self.records.now
        await self.records.database.write(lambda tx: workers.release_runs(tx, worker, now, crashed=False))

    async def act(self, times: int) -> None:
        acts: list[Callable[[], Awaitable[None]]] = [self.accept, self.claim, self.append, self.settle]
        for _ in range(times):
            await self.chance.choice([*acts, *acts, self.cancel, self.take_over])()

    async def finish(self) -> None:
        """Take over what is left and drive it to its end."""
        for worker in ("w1", "w2"):
            await self.records.database.write(lambda tx, w=worker: workers.release_runs(tx, w, 1.0, crashed=False))  # type: ignore[misc]
        while claimed := await self.records.claim(50):
            for run in claimed:
                await self._settle(run, RunState.COMPLETED)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_at_once_every_run_ends_once(records: Records, seed: int) -> None:
    crowd = Crowd(records, seed)
    await asyncio.gather(*(crowd.act(12) for _ in range(10)))
    await assert_sound(records)
    await crowd.finish()
    assert await lines(records) == {}, "no line was forgotten"
    assert {count for name, count in crowd.ends.items() if name.startswith("r")} <= {1}
    rows = await records.select("SELECT count(*) AS n FROM runs WHERE state IN ('running', 'ready', 'queued')")
    assert rows == [{"n": 0}]
