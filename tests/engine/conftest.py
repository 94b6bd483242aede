"""Engines in this process: each test has its own, on a database of its own."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent
from musterd.engine.outbox import Outbox
from tests.support.crashes import Fuse
from tests.support.engine import EngineHarness, harness_on, running
from tests.support.held_model import HeldModel
from tests.support.partitions import PlanWatch
from tests.support.postgres import PARTITIONED

Engines = Callable[..., AbstractAsyncContextManager[EngineHarness]]


@pytest.fixture
def postgres_template(plans: PlanWatch) -> str:
    """Tables in partitions, where each statement that a test executes touches one partition or has a reason."""
    return PARTITIONED


@pytest.fixture
def model() -> HeldModel:
    """The model of the test's components."""
    return HeldModel()


@pytest.fixture
def engines(database_url: str, model: HeldModel) -> Engines:
    """``async with engines(agents=[…], concurrency=2) as harness``; by default one agent, ``solo``."""
    return _engines_on(database_url, model)


@pytest.fixture
def file_engines(sqlite_file: Path, model: HeldModel) -> Engines:
    """The same on SQLite alone."""
    return _engines_on(f"sqlite:///{sqlite_file}", model)


def _engines_on(url: str, model: HeldModel) -> Engines:
    @contextlib.asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[EngineHarness]:
        if not any(options.get(kind) for kind in ("agents", "teams", "workflows")):
            options["agents"] = [Agent(id="solo", model=model)]
        async with running(harness_on(url, model=model, **options)) as harness:
            yield harness

    return make


@pytest.fixture
async def harness(engines: Engines) -> AsyncIterator[EngineHarness]:
    """A running engine as shipped, with one agent."""
    async with engines() as harness:
        yield harness


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    """Its moments are also those just before and just after a commit."""
    fuse, write = Fuse(), Outbox._write

    async def ticking_write(self: Outbox, work: Any) -> Any:
        await fuse.tick()
        result = await write(self, work)
        await fuse.tick()
        return result

    monkeypatch.setattr(Outbox, "_write", ticking_write)
    return fuse
