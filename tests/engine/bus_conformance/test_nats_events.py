"""With NATS, other processes get the events of a run in messages, and need not read the database."""

import asyncio
from typing import Any

import pytest

from musterd.core.events import Event, EventKind
from musterd.engine.broadcaster import EndWaiter, Flush
from musterd.engine.nats_flushes import flush_in, message_of
from musterd.store.events import StoredFlush, encoded
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.engine.bus_conformance.test_events_elsewhere import WORDS, reader_of, until_content
from tests.support.engine import read_all
from tests.support.held_model import HeldModel


@pytest.fixture(params=["nats"])
def bus_kind(request: pytest.FixtureRequest, nats_program: str) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def no_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes read the rows only after a message, however long the test takes."""
    monkeypatch.setattr("musterd.engine.row_watch.SWEEP_SECONDS", 3600.0)


async def test_large_flushes_are_read_from_the_database(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.nats_flushes.MAX_BYTES", 200)
    hold = model.hold("[[WORDS", after=1)
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start("[[WORDS 300]]", "r1", "s1")
        await hold.reached.wait()
        reading = await reader_of(other)
        hold.release()
        assert await read_all(reading) == await api.stored("r1")


async def test_a_stream_elsewhere_reads_no_rows(
    no_sweeps: None, processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = model.hold("[[WORDS", after=1)
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start(WORDS, "r1", "s1")
        await hold.reached.wait()
        reading = await reader_of(other)
        events = await until_content(reading)
        while "r1" not in other.engine._changed_rows._seen:  # the one look after NATS has the subscription
            await other.written()
        events += [(index, event) async for flush in reading.available() for index, event in _indexed(flush)]

        async def no_read(work: Any) -> Any:
            raise AssertionError("the database was read")

        with monkeypatch.context() as patch:
            patch.setattr(other.database, "read", no_read)
            hold.release()
            texts = 0
            while texts < 5:
                await reading.wait(30)
                async for flush in reading.available():
                    events += _indexed(flush)
                    texts += 1
        events += await read_all(reading)
        assert events == await api.stored("r1")


def _indexed(flush: Flush) -> list[tuple[int, Event]]:
    return list(enumerate(flush.events, flush.first_index))


async def test_waits_elsewhere_read_the_row_only_when_the_run_ends(
    no_sweeps: None, processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = model.hold("[[WORDS", after=1)
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start(WORDS, "r1", "s1")
        await hold.reached.wait()
        waiting = asyncio.ensure_future(other.end_of("r1"))
        while "r1" not in other.engine._changed_rows._seen:
            await other.written()
        looks = 0
        look = other.engine.read_changed_rows

        async def counted_look(run_ids: Any = None) -> None:
            nonlocal looks
            looks += 1
            await look(run_ids)

        monkeypatch.setattr(other.engine, "read_changed_rows", counted_look)
        hold.release()
        assert (await waiting).row.state.is_final
        assert looks == 1


def test_a_message_identifies_its_flush() -> None:
    flush = StoredFlush("salt", 7, encoded([Event(EventKind.CONTENT, "r1", 1.0, {"text": "über\nalles"})]))
    assert flush_in(message_of(flush, 1000)) == flush
    assert message_of(flush, 10) == b""


@pytest.mark.parametrize("message", [b"", b'{"format":2,"first_index":0}\n[]'])
def test_a_message_of_another_format_is_a_hint(message: bytes) -> None:
    assert flush_in(message) is None


async def test_a_wait_for_a_member_continues_after_the_message_with_its_end_was_lost(processes: Processes) -> None:
    async with processes(API, API) as (api, other):
        await api.records.accept("r1")
        waiter = EndWaiter(other.server.resources.broadcaster, "r1", "member")
        later = Event(EventKind.CONTENT, "r1", 1.0, {"text": "after the member's end"})
        while True:
            await other.engine.read_changed_rows(["r1"])
            seen = other.engine._changed_rows._seen["r1"]
            await api.records.execute("UPDATE runs SET next_event = next_event + 2")
            if other.engine._changed_rows._seen["r1"] is seen:  # upkeep has not read the change
                break
        assert not other.engine.events_received("r1", StoredFlush(seen.salt, seen.next_event + 1, encoded([later])))
        await other.engine.read_changed_rows(["r1"])
        async with asyncio.timeout(30):
            await waiter.wait(60)
