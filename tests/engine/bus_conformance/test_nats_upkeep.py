"""With NATS one process at a time does upkeep, for all of them."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Agent
from musterd.core import clock
from musterd.core.states import RunState
from musterd.engine.bus_nats import NatsBus
from musterd.features.schedules import store as schedules
from musterd.features.schedules.records import OPERATOR, Definition, Schedule
from tests.engine.bus_conformance.conftest import API, NO_UPKEEP, QUICK, WORKER, Processes, die
from tests.engine.bus_conformance.test_dispatch import without_hints
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel
from tests.support.nats import NatsServer
from tests.support.postgres import PostgresServer

PERIOD_SECONDS = 0.05
CALM_SECONDS = 0.5
"""A period of which a busy machine misses few."""
LONG_SECONDS = 3600.0
"""A period in which a process never waits until no message comes."""


@pytest.fixture(params=["nats"])
def bus_kind(request: pytest.FixtureRequest, nats_program: str) -> str:
    kind: str = request.param
    return kind


async def take_turns(harness: EngineHarness) -> None:
    """Do upkeep in each process, as it does by itself."""
    while True:
        await harness.server.bus.upkeep_turn(CALM_SECONDS)
        await harness.engine.upkeep.once()


def left_to_another(harness: EngineHarness, period_seconds: float = PERIOD_SECONDS) -> bool:
    """Whether a process currently leaves upkeep to another one."""
    return bus_of(harness)._turns.is_left_to_another(period_seconds)


def bus_of(harness: EngineHarness) -> NatsBus:
    bus = harness.server.bus
    assert isinstance(bus, NatsBus)
    return bus


async def until_delivered(sender: EngineHarness, receiver: EngineHarness) -> None:
    """Wait until what one process has sent has reached another one."""
    await sender.written()
    await bus_of(sender)._connection.flush()
    await bus_of(receiver)._connection.flush()
    await receiver.written()


async def add_schedule(harness: EngineHarness, schedule_id: str, at: float) -> None:
    """Store a schedule that fires once."""
    schedule = Schedule(
        id=schedule_id,
        owner=None,
        name=schedule_id,
        definition=Definition(endpoint="/agents/solo/runs", payload={"message": "hi"}, at=at),
        maker=OPERATOR,
        enabled=True,
        created_at=clock.now(),
        next_run_at=at,
    )
    await harness.database.write(lambda tx: schedules.add(tx, schedule))


async def until_fired(harness: EngineHarness, schedule_id: str) -> None:
    """Wait until a schedule's run has completed."""
    firings = "SELECT run_id FROM firings WHERE schedule_id = :id"
    async with asyncio.timeout(100):
        while not (rows := await harness.records.select(firings, id=schedule_id)):
            await harness.written()
        assert (await harness.end_of(rows[0]["run_id"])).row.state is RunState.COMPLETED


async def test_one_process_does_upkeep_and_another_follows_it(processes: Processes) -> None:
    async with processes(WORKER, WORKER, API, **QUICK) as started:
        first, *others = sorted(started, key=lambda harness: harness.engine.worker_id)
        loops = [asyncio.create_task(take_turns(harness)) for harness in started]
        while not all(left_to_another(harness, CALM_SECONDS) for harness in others):
            await first.written()
        assert not left_to_another(first, CALM_SECONDS)
        ended = loops[started.index(first)]
        ended.cancel()
        await asyncio.wait([ended])
        await die(first)
        while left_to_another(others[0], CALM_SECONDS):
            await others[0].written()
        while not left_to_another(others[1], CALM_SECONDS):
            await others[0].written()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)  # before the databases are closed


async def test_the_others_do_not_wait_for_a_process_that_stops(processes: Processes) -> None:
    async with processes(WORKER, WORKER, WORKER) as started:
        first, *others = sorted(started, key=lambda harness: harness.engine.worker_id)
        await first.engine.upkeep.once()
        while not all(left_to_another(harness, LONG_SECONDS) for harness in others):
            await first.written()
        first.server.begin_stop()
        async with asyncio.timeout(30):
            while any(left_to_another(harness, LONG_SECONDS) for harness in others):
                await others[0].written()


async def test_upkeep_that_ends_during_a_stop_does_not_make_the_others_wait(processes: Processes) -> None:
    async with processes(WORKER, WORKER) as started:
        first, second = sorted(started, key=lambda harness: harness.engine.worker_id)
        first.server.begin_stop()
        await first.engine.upkeep.once()
        await until_delivered(first, second)
        assert not left_to_another(second, LONG_SECONDS)


async def test_processes_of_another_database_with_the_same_prefix_do_not_count(
    postgres_server: PostgresServer, nats_server: NatsServer, model: HeldModel
) -> None:
    """Each database has upkeep of its own, and a process warns once."""
    options: dict[str, Any] = {
        "agents": [Agent(id="solo", model=model)],
        "bus": nats_server.url,
        "bus_prefix": nats_server.prefix(),
        **NO_UPKEEP,
    }
    with postgres_server.database() as one, postgres_server.database() as two, capture_logs() as lines:
        first, second = (harness_on(database, model=model, role=WORKER, **options) for database in (one, two))
        async with running(first), running(second):
            small, large = sorted((first, second), key=lambda harness: harness.engine.worker_id)
            done_at = large.engine.upkeep.last_done_at
            for _ in range(3):
                await small.engine.upkeep.once()
                await until_delivered(small, large)
            assert not left_to_another(large, LONG_SECONDS)
            assert large.engine.upkeep.last_done_at == done_at
    warnings = [line for line in lines if "another database" in line["event"]]
    assert 1 <= len(warnings) <= 2, "at most one of each process"


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
    async with processes(API, WORKER) as (api, _):
        await add_schedule(api, "due", clock.now())
        await api.engine.upkeep.once()
        await until_fired(api, "due")


async def test_a_schedule_is_fired_in_time_after_the_last_upkeep_of_two_periods(
    database_url: str, bus_settings: dict[str, Any], model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upkeep may pause for more than a period, when the process that does it stops."""
    agents = [Agent(id="solo", model=model)]
    harness = harness_on(database_url, model=model, role=WORKER, agents=agents, upkeep_seconds=1.0, **bus_settings)
    monkeypatch.setattr(harness.server.bus, "upkeep_turn", lambda _period: asyncio.Event().wait())
    async with running(harness):
        await add_schedule(harness, "soon", clock.now() + 1.8)
        await harness.engine.upkeep.once()
        await until_fired(harness, "soon")


async def test_a_schedule_that_is_added_while_another_one_is_awaited_is_fired_first(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, look = asyncio.Event(), schedules.look

    async def watched_look(*args: Any, **options: Any) -> schedules.Look:
        looked.set()
        return await look(*args, **options)

    monkeypatch.setattr(schedules, "look", watched_look)
    async with processes(API, WORKER) as (api, worker):
        await add_schedule(api, "later", clock.now() + 600)
        await api.engine.upkeep.once()
        await looked.wait()
        await worker.written()
        await add_schedule(api, "now", clock.now())
        await until_fired(api, "now")


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
        async with asyncio.timeout(30):
            await second.server.bus.upkeep_turn(PERIOD_SECONDS)
