"""Schedules that are due are shared by the processes, and none of them waits for one that does nothing more."""

import asyncio

import pytest

from musterd.core import clock
from tests.engine.bus_conformance.conftest import WORKER, Processes
from tests.engine.bus_conformance.test_nats_upkeep import add_schedule, until_fired
from tests.support.engine import PATIENCE_SECONDS
from tests.support.held_model import HeldModel


async def test_a_process_that_drains_leaves_its_share_to_the_others_at_once(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.features.schedules.due_shares.OTHERS_SECONDS", 10 * PATIENCE_SECONDS)
    hold = model.hold("wait")
    async with processes(WORKER, WORKER) as (draining, other):
        await draining.start("wait", "r1")
        await hold.reached.wait()
        draining.server.begin_stop()
        names = [f"s{number}" for number in range(20)]  # about ten of them are the share of each process
        for name in names:
            await add_schedule(other, name, clock.now())
        await other.engine.upkeep.once()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for name in names:
                await until_fired(other, name)
        assert {"id": draining.engine.worker_id} in await other.records.select("SELECT id FROM workers")
        hold.release()
