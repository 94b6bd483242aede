"""What each bus promises, tested with several processes (engines in this one) on one database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from musterd import Agent
from musterd.engine.bus_nats import NatsBus
from musterd.engine.process_role import ProcessRole
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel
from tests.support.nats import NatsServer

Processes = Callable[..., AbstractAsyncContextManager[list[EngineHarness]]]
API = ProcessRole(drives_runs=False)
"""Accepts runs that others drive."""
WORKER = ProcessRole()
NO_UPKEEP: dict[str, Any] = {"upkeep_seconds": 3600}
"""What a hint does not report is found by nothing else, so a test that needs it would hang."""

QUICK: dict[str, Any] = {"dead_seconds": 0.3, "beat_seconds": 0.02}
"""A process is silent soon after its last heartbeat."""


@pytest.fixture
def several_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least three looks must find a counter unchanged, no matter how slow a busy machine is."""
    monkeypatch.setattr("musterd.engine.heartbeat.LONGEST_LOOK_SECONDS", 0.1)


async def stop_beats(harness: EngineHarness) -> None:
    """Stop storing heartbeats, as if their connection had broken."""
    heartbeat = harness.server.bus.membership._heartbeat
    assert heartbeat is not None
    heartbeat.stop()
    await asyncio.to_thread(heartbeat.join)


async def resume_beats(harness: EngineHarness) -> None:
    """Store heartbeats again."""
    membership = harness.server.bus.membership
    membership._heartbeat = membership._new_heartbeat()
    membership._heartbeat.start()


async def reassign_runs_of(silent: EngineHarness, other: EngineHarness) -> None:
    """Do upkeep in the other process until it considers the silent one dead."""
    silent_id = silent.engine.worker_id
    while {"id": silent_id} in await other.records.select("SELECT id FROM workers"):
        await other.engine.upkeep.once()


async def die(harness: EngineHarness) -> None:
    """Stop a process like a kill: it stores and releases nothing more."""
    bus = harness.server.bus
    harness.engine.is_ready = False
    if isinstance(bus, NatsBus):
        bus._is_stopping = True  # so that it does not tell the others that it stops
    bus.begin_stop()
    await stop_beats(harness)
    # The operating system frees its lock and closes its connections.
    bus.membership._locks.release(bus.membership.worker_id)
    if isinstance(bus, NatsBus):
        await bus._connection.close()
    await harness.kill()


@pytest.fixture(params=["sqlite", "postgres", "nats"])
def bus_kind(request: pytest.FixtureRequest) -> str:
    """The bus: of processes with a common SQLite or Postgres database, or on NATS."""
    kind: str = request.param
    if kind == "nats":
        request.getfixturevalue("nats_program")
    return kind


@pytest.fixture
def database_url(bus_kind: str, request: pytest.FixtureRequest) -> str:
    """The test's own database, of the kind that fits the bus."""
    if bus_kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def bus_settings(bus_kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of the bus."""
    if bus_kind != "nats":
        return {}
    server: NatsServer = request.getfixturevalue("nats_server")
    return {"bus": server.url, "bus_prefix": server.prefix()}


@pytest.fixture
def processes(database_url: str, model: HeldModel, bus_settings: dict[str, Any]) -> Processes:
    """``async with processes(API, WORKER) as (api, worker)``: they know each other, and do no upkeep by themselves."""

    @contextlib.asynccontextmanager
    async def start(*roles: ProcessRole, **options: Any) -> AsyncIterator[list[EngineHarness]]:
        if not any(options.get(kind) for kind in ("agents", "teams", "workflows")):
            options["agents"] = [Agent(id="solo", model=model)]
        async with contextlib.AsyncExitStack() as stack:
            started: list[EngineHarness] = []
            for role in roles:
                harness = harness_on(database_url, model=model, role=role, **NO_UPKEEP, **bus_settings, **options)
                started.append(await stack.enter_async_context(running(harness)))
            for harness in started:
                await harness.engine.upkeep.once()
            yield started

    return start
