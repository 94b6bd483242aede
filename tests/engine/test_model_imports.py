"""What a model needs is imported before a run is claimed: a process that dies in it has crashed no run."""

import asyncio
import threading

import pytest

from musterd import Agent
from musterd.core.settings import Settings
from musterd.core.states import RunState
from musterd.models import resolve
from tests.engine.conftest import Engines
from tests.support.held_model import HeldModel


class Imports:
    """Stands for the import of SDKs."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.count = 0
        self.began, self.may_end = threading.Event(), threading.Event()

    def make(self, name: str, settings: Settings) -> tuple[HeldModel, None]:
        self.count += 1
        self.began.set()
        assert self.may_end.wait(30)
        if name == self.fails:
            raise ImportError(name)
        return HeldModel(), None


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Imports:
    recorded = Imports()
    monkeypatch.setattr(resolve, "_make", recorded.make)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return recorded


async def test_no_run_is_claimed_before_its_models_are_imported(engines: Engines, imports: Imports) -> None:
    async with engines(agents=[Agent(id="solo", model="openai:some")]) as harness:
        await harness.idle()
        assert imports.count == 0, "nothing is imported for nothing"
        for run_id in ("r1", "r2"):
            await harness.start("hi", run_id, run_id)
        await asyncio.to_thread(imports.began.wait)
        rows = await harness.records.select("SELECT state, attempt FROM runs")
        assert rows == [{"state": "ready", "attempt": 0}] * 2
        imports.may_end.set()
        for run_id in ("r1", "r2", "r3"):
            if run_id == "r3":
                accepted = await harness.start("hi", run_id, run_id)
                assert accepted.run.state is RunState.RUNNING
            assert (await harness.end_of(run_id)).row.state is RunState.COMPLETED
        assert imports.count == 1


async def test_one_that_cannot_be_imported_fails_its_own_runs_alone(engines: Engines, imports: Imports) -> None:
    imports.fails = "openai:broken"
    imports.may_end.set()
    agents = [Agent(id="good", model="openai:some"), Agent(id="bad", model="openai:broken")]
    async with engines(agents=agents) as harness:
        await harness.start("hi", "r1", "s1", of="bad")
        await harness.start("hi", "r2", "s2", of="good")
        assert (await harness.end_of("r1", of="bad")).row.state is RunState.ERROR
        assert (await harness.end_of("r2", of="good")).row.state is RunState.COMPLETED


async def test_a_stop_during_the_imports_claims_nothing(engines: Engines, imports: Imports) -> None:
    async with engines(agents=[Agent(id="solo", model="openai:some")], drain_seconds=30) as harness:
        await harness.start("hi", "r1", "r1")
        await asyncio.to_thread(imports.began.wait)
        harness.engine.begin_stop()
        imports.may_end.set()
        await harness.engine.stop()
        rows = await harness.records.select("SELECT state, attempt FROM runs")
        assert rows == [{"state": "ready", "attempt": 0}]
