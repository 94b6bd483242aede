"""A process with late heartbeats is asked over NATS, and loses its runs only if it cannot continue them."""

import pytest
from nats.aio.msg import Msg

from musterd.core.states import RunState
from tests.engine.bus_conformance.conftest import API, QUICK, WORKER, Processes, reassign_runs_of, stop_beats
from tests.support.held_model import HeldModel

pytestmark = pytest.mark.usefixtures("several_looks")


@pytest.fixture(params=["nats"])
def bus_kind(request: pytest.FixtureRequest, nats_program: str) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def patient_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that a busy machine delays is still an answer."""
    monkeypatch.setattr("musterd.engine.nats_questions.ANSWER_SECONDS", 60.0)


async def test_a_process_that_answers_keeps_its_runs(
    patient_questions: None, processes: Processes, model: HeldModel
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, **QUICK) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        await stop_beats(worker)
        while worker.engine.worker_id not in api.server.bus._answering:  # type: ignore[attr-defined]
            await api.engine.upkeep.once()
        hold.release()
        view = await api.end_of("r1")
        assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 1)


async def test_a_suspended_process_loses_its_runs(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def receive(message: Msg) -> None:
        """A suspended process still receives messages, because its connection is open."""

    monkeypatch.setattr("musterd.engine.nats_questions._answer", receive)
    monkeypatch.setattr("musterd.engine.nats_questions.ANSWER_SECONDS", 0.05)
    hold = model.hold("wait")
    async with processes(API, WORKER, **QUICK) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        await stop_beats(worker)
        await reassign_runs_of(worker, api)
        async with processes(WORKER) as (other,):
            await other.engine.upkeep.once()
            hold.release()  # the first attempt also continues, and must not store its end
            row = (await api.end_of("r1")).row
            assert (row.state, row.attempt, row.worker) == (RunState.COMPLETED, 2, other.engine.worker_id)


async def test_a_process_without_the_database_loses_its_runs_eventually(
    patient_questions: None, processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.bus_nats.CUT_OFF_PERIODS", 4)
    hold = model.hold("wait")
    async with processes(API, WORKER, **QUICK) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        await stop_beats(worker)
        while worker.engine.worker_id not in api.server.bus._answering:  # type: ignore[attr-defined]
            await api.engine.upkeep.once()
        await reassign_runs_of(worker, api)
        assert (await api.records.row("r1")).state is RunState.READY
        hold.release()
        async with processes(WORKER) as (other,):
            await other.engine.upkeep.once()
            assert (await api.end_of("r1")).row.attempt == 2
