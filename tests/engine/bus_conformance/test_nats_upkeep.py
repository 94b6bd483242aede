"""With NATS one process at a time does upkeep, for all of them."""

import asyncio

import pytest

from musterd.core import clock
from musterd.core.states import RunState
from musterd.features.schedules import store as schedules
from musterd.features.schedules.records import OPERATOR, Definition, Schedule
from tests.engine.bus_conformance.conftest import API, QUICK, WORKER, Processes, die
from tests.engine.bus_conformance.test_dispatch import without_hints
from tests.support.engine import EngineHarness

PERIOD_SECONDS = 0.05


@pytest.fixture(params=["nats"])
def bus_kind(request: pytest.FixtureRequest, nats_program: str) -> str:
    kind: str = request.param
    return kind


async def take_turns(harness: EngineHarness) -> None:
    """Do upkeep in each process, as it does by itself."""
    while True:
        await harness.server.bus.turn(PERIOD_SECONDS)
        await harness.engine.upkeep.once()


def left_to_another(harness: EngineHarness) -> bool:
    """Whether a process currently leaves upkeep to another one."""
    is_left: bool = harness.server.bus._turns.is_left_to_another(PERIOD_SECONDS)  # type: ignore[attr-defined]
    return is_left


async def test_one_process_does_upkeep_and_another_follows_it(processes: Processes) -> None:
    async with processes(WORKER, WORKER, API, **QUICK) as started:
        first, *others = sorted(started, key=lambda harness: harness.engine.worker_id)
        loops = [asyncio.create_task(take_turns(harness)) for harness in started]
        while not all(map(left_to_another, others)):
            await first.written()
        assert not left_to_another(first)
        ended = loops[started.index(first)]
        ended.cancel()
        await asyncio.wait([ended])
        await die(first)
        while left_to_another(others[0]):
            await others[0].written()
        while not left_to_another(others[1]):
            await others[0].written()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)  # before the databases are closed


async def test_a_run_whose_hint_was_lost_is_claimed_after_upkeep_elsewhere(processes: Processes) -> None:
    async with processes(API, WORKER) as (api, worker):
        without_hints(api)
        await api.start("hi", "r1")
        await api.engine.upkeep.once()
        row = (await api.end_of("r1")).row
        assert (row.state, row.worker) == (RunState.COMPLETED, worker.engine.worker_id)
        assert worker.engine.upkeep.last_done_at is not None


async def test_a_suspect_is_claimed_after_upkeep_elsewhere(processes: Processes) -> None:
    async with processes(API, WORKER) as (api, _):
        await api.records.accept("r1")
        await api.records.execute("UPDATE runs SET crashes = 2, crashes_in_all = 2")
        await api.engine.upkeep.once()
        assert (await api.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_due_schedule_is_fired_after_upkeep_elsewhere(processes: Processes) -> None:
    now = clock.now()
    due = Schedule(
        id="due",
        owner=None,
        name="due",
        definition=Definition(endpoint="/agents/solo/runs", payload={"message": "hi"}, at=now),
        maker=OPERATOR,
        enabled=True,
        created_at=now,
        next_run_at=now,
    )
    async with processes(API, WORKER) as (api, _):
        await api.database.write(lambda tx: schedules.add(tx, due))
        await api.engine.upkeep.once()
        while not (rows := await api.records.select("SELECT run_id FROM runs")):
            await api.written()
        assert (await api.end_of(rows[0]["run_id"])).row.state is RunState.COMPLETED


async def test_failed_upkeep_does_not_keep_others_from_it(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot use the database does not keep others from doing upkeep."""
    async with processes(WORKER, WORKER) as started:
        first, second = sorted(started, key=lambda harness: harness.engine.worker_id)
        while left_to_another(second):  # until the messages from its start are old
            await second.written()

        async def refuse(_work: object) -> None:
            raise ConnectionError

        monkeypatch.setattr(first.database, "scan", refuse)
        with pytest.raises(ConnectionError):
            await first.engine.upkeep.once()
        async with asyncio.timeout(10):
            await second.server.bus.turn(PERIOD_SECONDS)
