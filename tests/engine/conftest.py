"""Engines in this process: each test has its own, on a file of its own."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent
from tests.support.engine import Works, running, works_on
from tests.support.held_model import HeldModel

Engines = Callable[..., AbstractAsyncContextManager[Works]]


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    """The test's own file."""
    return Path(shutil.copy(template, tmp_path))


@pytest.fixture
def model() -> HeldModel:
    """The model of the test's components."""
    return HeldModel()


@pytest.fixture
def engines(file: Path, model: HeldModel) -> Engines:
    """``async with engines(agents=[…], concurrency=2) as works``; by default one agent, ``solo``."""

    @contextlib.asynccontextmanager
    async def make(**given: Any) -> AsyncIterator[Works]:
        if not given.get("agents") and not given.get("teams"):
            given["agents"] = [Agent(id="solo", model=model)]
        async with running(works_on(file, model=model, **given)) as works:
            yield works

    return make


@pytest.fixture
async def works(engines: Engines) -> AsyncIterator[Works]:
    """A running engine as shipped, with one agent."""
    async with engines() as found:
        yield found
