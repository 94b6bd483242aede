"""What each bus promises, tested with several processes (engines in this one) on one database."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from musterd import Agent
from musterd.engine.process_role import ProcessRole
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel

Processes = Callable[..., AbstractAsyncContextManager[list[EngineHarness]]]
API = ProcessRole(drives_runs=False)
"""Accepts runs that others drive."""
WORKER = ProcessRole()
NO_UPKEEP: dict[str, Any] = {"upkeep_seconds": 3600}
"""What a hint does not report is found by nothing else, so a test that needs it would hang."""


@pytest.fixture
def bus_settings() -> dict[str, Any]:
    """The settings of the bus."""
    return {}


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
