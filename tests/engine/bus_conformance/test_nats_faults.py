"""NATS is away, or comes back without what it has stored: runs go on, and hints come again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from nats.errors import Error as NatsError

from musterd.core.errors import StartError
from musterd.core.states import RunState
from musterd.engine.nats_ready import ReadyRuns
from musterd.engine.nats_stream import ReadyStream
from musterd.engine.nats_subjects import Subjects
from musterd.engine.process_role import component_key
from musterd.http.readiness import Readiness
from tests.engine.bus_conformance.conftest import API, QUICK, WORKER, Processes, die
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel
from tests.support.nats import NatsServer


@pytest.fixture(params=["nats"])
def bus_kind(request: pytest.FixtureRequest, nats_program: str) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def own_nats_server() -> Iterator[NatsServer]:
    server = NatsServer()
    yield server
    server.close()


@pytest.fixture
def bus_settings(own_nats_server: NatsServer) -> dict[str, Any]:
    return {"bus": own_nats_server.url}


async def connected(*harnesses: EngineHarness, is_connected: bool = True) -> None:
    """Wait until the processes know whether NATS is there."""
    async with asyncio.timeout(60):
        for harness in harnesses:
            while harness.server.bus._connection.is_connected is not is_connected:  # type: ignore[attr-defined]
                await harness.written()


async def test_a_start_without_nats_fails_with_the_reason(
    processes: Processes, own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.nats_connection.CONNECT_SECONDS", 0.2)
    own_nats_server.kill()
    with pytest.raises(StartError, match="cannot be reached"):
        async with processes(WORKER):
            pass


async def test_runs_go_on_while_nats_is_away(
    processes: Processes, model: HeldModel, own_nats_server: NatsServer
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        own_nats_server.kill()
        await connected(api, worker, is_connected=False)
        await api.start("hi", "r2", "s2")
        await worker.engine.upkeep.once()
        assert (await api.end_of("r2")).row.state is RunState.COMPLETED
        await api.ask_to_cancel("r1")
        row = (await api.end_of("r1")).row
        assert (row.state, row.attempt) == (RunState.CANCELLED, 1)


async def test_runs_go_on_while_nats_does_not_answer(
    processes: Processes, model: HeldModel, own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.bus_nats.PING_SECONDS", 1)
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        own_nats_server.freeze()
        await connected(api, worker, is_connected=False)
        await api.ask_to_cancel("r1")
        row = (await api.end_of("r1")).row
        assert (row.state, row.attempt) == (RunState.CANCELLED, 1)
        own_nats_server.thaw()
        await connected(api, worker)
        assert (await api.run("hi", "r2", "s2")).row.state is RunState.COMPLETED


async def test_hints_come_again_after_nats_has_lost_everything(
    processes: Processes, model: HeldModel, own_nats_server: NatsServer
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        own_nats_server.kill(with_storage=True)
        await connected(api, worker, is_connected=False)
        waiting = asyncio.ensure_future(api.end_of("r1"))
        own_nats_server.start()
        await connected(api, worker)
        assert (await api.run("hi", "r2", "s2")).row.state is RunState.COMPLETED
        hold.release()
        assert (await waiting).row.attempt == 1


async def test_a_stream_that_is_deleted_is_made_anew(processes: Processes, own_nats_server: NatsServer) -> None:
    async with processes(API, WORKER) as (api, _):
        await api.run("hi", "r1", "s1")
        jetstream = api.server.bus._connection.jetstream()  # type: ignore[attr-defined]
        await jetstream.delete_stream("musterd_ready")
        for number in range(2, 5):
            assert (await api.run("hi", f"r{number}", f"s{number}")).row.state is RunState.COMPLETED


async def test_a_stream_that_is_lost_is_opened_by_one_attempt_at_a_time(
    processes: Processes, own_nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.nats_ready.RETRY_SECONDS", 0.05)
    async with processes(API, WORKER) as (api, worker):
        ready: ReadyRuns = worker.server.bus._ready  # type: ignore[attr-defined]
        stream: ReadyStream = worker.server.bus._stream  # type: ignore[attr-defined]
        create, at_work, attempts = stream.create, 0, 0
        fails_once = iter([True])
        begun, gate = asyncio.Event(), asyncio.Event()

        async def create_when_told() -> None:
            nonlocal at_work, attempts
            attempts += 1
            at_work += 1
            assert at_work == 1
            begun.set()
            await gate.wait()
            at_work -= 1
            if next(fails_once, False):
                raise NatsError("NATS is busy")
            await create()

        monkeypatch.setattr(stream, "create", create_when_told)
        for consumer in ready._all_consumers():
            consumer._on_lost()
        await begun.wait()
        ready.reopen()  # the connection was lost as well
        gate.set()
        assert (await api.run("hi", "r1", "s1")).row.state is RunState.COMPLETED
        async with asyncio.timeout(60):
            while ready._is_reopening or ready._retry is not None:
                await worker.written()
        assert (await api.run("hi", "r2", "s2")).row.state is RunState.COMPLETED
        assert attempts == 2


@pytest.mark.parametrize("content", [b"\xff", b"\0", b"", b"x" * 100_000], ids=["bytes", "nul", "empty", "long"])
async def test_a_message_that_names_no_run_is_removed(processes: Processes, content: bytes) -> None:
    async with processes(API, WORKER) as (api, worker):
        await api.run("hi", "r1", "s1")
        row = await api.records.row("r1")
        jetstream = api.server.bus._connection.jetstream()  # type: ignore[attr-defined]
        component = component_key(row.component_kind, row.component_id)
        await jetstream.publish(Subjects("musterd").ready(component, "normal"), content)
        assert (await api.run("hi", "r2", "s2")).row.state is RunState.COMPLETED
        async with asyncio.timeout(60):
            while (await jetstream.stream_info("musterd_ready")).state.messages:
                await worker.written()


async def test_heartbeats_decide_alone_if_nats_cannot_be_reached(
    processes: Processes, model: HeldModel, own_nats_server: NatsServer, several_looks: None
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, WORKER, **QUICK) as (api, *both):
        await api.start("wait", "r1")
        await hold.reached.wait()
        row = await api.records.row("r1")
        first, second = sorted(both, key=lambda harness: harness.engine.worker_id != row.worker)
        own_nats_server.kill()
        await connected(api, second, is_connected=False)
        await die(first)
        hold.release()
        while (await api.records.row("r1")).worker != second.engine.worker_id:
            await second.engine.upkeep.once()
        assert (await api.end_of("r1")).row.attempt == 2


async def test_readiness_reports_that_nats_cannot_be_reached(processes: Processes, own_nats_server: NatsServer) -> None:
    async with processes(WORKER) as (worker,):
        readiness = worker.server.service(Readiness)
        assert "bus" not in (await readiness.look()).problems(with_names=True)
        own_nats_server.kill()
        await connected(worker, is_connected=False)
        assert "NATS" in (await readiness.look()).problems(with_names=True)["bus"]
