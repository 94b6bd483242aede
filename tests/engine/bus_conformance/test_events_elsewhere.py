"""Readers in other processes get each event of a run once and in order, even if messages are lost or reordered."""

import asyncio
from collections.abc import Callable

import pytest

from musterd.core.callers import Caller
from musterd.core.events import Event, EventKind
from musterd.engine.bus import Bus
from musterd.service.run_ref import RunRef
from musterd.service.subscription import RunSubscription
from musterd.store.events import StoredFlush, encoded
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.support.engine import NOBODY, EngineHarness, read_all
from tests.support.held_model import HeldModel

WORDS = "[[WORDS 60 3]]"
Stored = Callable[[str, StoredFlush], None]


async def reader_of(harness: EngineHarness, run_id: str = "r1", caller: Caller = NOBODY) -> RunSubscription:
    """Open a reader of a run, from its first event."""
    _, reading = await harness.runs.following.open(RunRef(harness.component(), run_id, "s1", caller), -1)
    return reading


async def until_content(reading: RunSubscription) -> list[tuple[int, Event]]:
    """The events that a reader gets until the first text."""
    events: list[tuple[int, Event]] = []
    while not any(event.kind is EventKind.CONTENT for _, event in events):
        async for flush in reading.available():
            events += list(enumerate(flush.events, flush.first_index))
        if not any(event.kind is EventKind.CONTENT for _, event in events):
            await reading.wait(30)
    return events


def lost(stored: Stored) -> Stored:
    """Every second flush is lost."""
    flushes: list[StoredFlush] = []

    def send(root_id: str, flush: StoredFlush) -> None:
        flushes.append(flush)
        if len(flushes) % 2:
            stored(root_id, flush)

    return send


def doubled(stored: Stored) -> Stored:
    """Every flush comes twice, and once more after the next one."""
    before: list[StoredFlush] = []

    def send(root_id: str, flush: StoredFlush) -> None:
        for again in (flush, flush, *before):
            stored(root_id, again)
        before[:] = [flush]

    return send


def out_of_order(stored: Stored) -> Stored:
    """Every second flush comes after the next one."""
    waiting: list[StoredFlush] = []

    def send(root_id: str, flush: StoredFlush) -> None:
        if waiting:
            stored(root_id, flush)
            stored(root_id, waiting.pop())
        else:
            waiting.append(flush)

    return send


@pytest.mark.parametrize("unreliable", [lost, doubled, out_of_order])
async def test_readers_get_every_event_once_and_in_order(
    processes: Processes,
    model: HeldModel,
    monkeypatch: pytest.MonkeyPatch,
    bus_kind: str,
    unreliable: Callable[[Stored], Stored],
) -> None:
    if bus_kind == "nats":
        monkeypatch.setattr("musterd.engine.row_watch.SWEEP_SECONDS", 0.1)  # the last message may be lost
    hold = model.hold("[[WORDS", after=1)
    async with processes(API, WORKER, API) as (api, worker, other):
        bus: Bus = worker.server.bus
        await api.start(WORDS, "r1", "s1")
        await hold.reached.wait()
        readings = [await reader_of(other) for _ in range(2)]
        first = [await until_content(reading) for reading in readings]
        monkeypatch.setattr(bus, "send_events", unreliable(bus.send_events))
        hold.release()
        rest = await asyncio.gather(*map(read_all, readings))
        stored = await api.stored("r1")
        assert [before + after for before, after in zip(first, rest, strict=True)] == [stored, stored]


async def test_late_events_of_a_deleted_run_do_not_reach_readers_of_its_successor(
    processes: Processes, model: HeldModel
) -> None:
    hold = model.hold("wait", after=1)
    async with processes(API, WORKER, API) as (api, worker, other):
        await api.start("wait", "r1", "s1")
        await hold.reached.wait()
        reading = await reader_of(other)
        events = await until_content(reading)
        await other.engine.read_changed_rows()
        late = Event(EventKind.CONTENT, "r1", 1.0, {"text": "of another run"})
        flush = StoredFlush("another salt", events[-1][0] + 1, encoded([late]))
        worker.server.bus.send_events("r1", flush)
        assert not other.engine.events_received("r1", flush)
        hold.release()
        assert events + await read_all(reading) == await api.stored("r1")


async def test_events_after_an_unfillable_gap_are_dropped(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait", after=1)
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start("wait", "r1", "s1")
        await hold.reached.wait()
        reading = await reader_of(other)
        events = await until_content(reading)
        await other.engine.read_changed_rows()
        snapshot = other.engine._changed_rows._seen["r1"]
        # As from a run that was deleted after it sent this, so the events before it are gone.
        late = Event(EventKind.CONTENT, "r1", 1.0, {"text": "too late"})
        assert not other.engine.events_received("r1", StoredFlush(snapshot.salt, events[-1][0] + 10, encoded([late])))
        assert [event async for flush in reading.available() for event in flush.events] == []
        hold.release()
        assert events + await read_all(reading) == await api.stored("r1")
