"""Three NATS servers, of which the one that leads the stream of ready runs is killed while runs are accepted."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from musterd import Agent
from musterd.core.states import RunState
from musterd.engine.process_role import ProcessRole
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel
from tests.support.nats_cluster import NatsCluster, nats_cluster

STREAM = "musterd_ready"
BEFORE, AFTER = 10, 40


@pytest.fixture
def cluster(nats_program: str) -> Iterator[NatsCluster]:
    """Three servers of this test."""
    with nats_cluster() as cluster:
        yield cluster


@pytest.fixture
async def processes(
    cluster: NatsCluster, postgres_url: str, model: HeldModel, anyio_backend: Any
) -> AsyncIterator[list[EngineHarness]]:
    """One that accepts runs, and two that drive them."""
    await cluster.usable()
    bus: dict[str, Any] = {"bus": cluster.url, "bus_replicas": 3}
    roles = (ProcessRole(drives_runs=False), ProcessRole(), ProcessRole())
    async with AsyncExitStack() as stack:
        agents = [Agent(id="solo", model=model)]
        harnesses = [harness_on(postgres_url, agents, model=model, role=role, **bus) for role in roles]
        yield [await stack.enter_async_context(running(harness)) for harness in harnesses]


async def test_no_run_is_lost_when_the_leader_of_the_stream_is_killed(
    cluster: NatsCluster, processes: list[EngineHarness], model: HeldModel
) -> None:
    api, *_ = processes
    hold = model.hold("wait")
    await api.start("wait", "held", "held")
    await hold.reached.wait()
    run_ids = [f"r{number}" for number in range(BEFORE + AFTER)]
    leader = ""
    for number, run_id in enumerate(run_ids):
        if number == BEFORE:
            leader = await cluster.leader_of(STREAM)
            cluster.servers[leader].kill()
        await api.start("hi", run_id, f"s{number % 7}")
        await asyncio.wait([asyncio.ensure_future(api.end_of(run_id))], timeout=0.02)
    views = [await api.end_of(run_id) for run_id in run_ids]
    assert {(view.row.state, view.row.attempt) for view in views} == {(RunState.COMPLETED, 1)}
    for session in range(7):  # each session's runs one after the other, in the order in which they were accepted
        rows = [view.row for view in views if view.row.session_id == f"s{session}"]
        assert all((one.ended_at or 0) <= (other.started_at or 0) for one, other in itertools.pairwise(rows))
    hold.release()
    assert (await api.end_of("held")).row.attempt == 1
    assert await cluster.leader_of(STREAM) != leader
