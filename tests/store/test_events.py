"""Stored events: from any index, page by page, whatever a newer version wrote among them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musterd.core.events import Event, EventKind
from musterd.store import events
from musterd.store.database import Database
from tests.support.store import Records, delta, of_run


async def stored(records: Records, *sizes: int) -> list[str]:
    """Flushes of these sizes; the texts of their events, in order."""
    run = await records.started("r1")
    texts = [f"{flush}.{number}" for flush, size in enumerate(sizes) for number in range(size)]
    left = iter(texts)
    for size in sizes:
        await records.append(run, events=[delta("r1", next(left)) for _ in range(size)])
    return texts


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_reading_on_from_any_index(records: Records, limit: int) -> None:
    texts = await stored(records, 3, 1, 4)
    for after in range(-1, 10):
        read, last, is_last = [], after, False
        while not is_last:
            page = await records.database.read(of_run(events.after, "r1", last, limit))
            read += [event.data["text"] for _, flush in page.flushes for event in flush]
            assert page.last_index >= last
            last, is_last = page.last_index, page.is_last
        assert read == texts[after + 1 :]


async def test_a_page_of_long_flushes_ends_early(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "READ_AT_ONCE", 2)
    monkeypatch.setattr(events, "PAGE_CHARACTERS", 1)
    texts = await stored(records, 1, 2, 3, 1)
    first = await records.database.read(of_run(events.after, "r1", -1, 1000))
    second = await records.database.read(of_run(events.after, "r1", first.last_index, 1000))
    last = await records.database.read(of_run(events.after, "r1", second.last_index, 1000))
    assert [(len(page.flushes), page.last_index, page.is_last) for page in (first, second, last)] == [
        (2, 2, False),
        (2, 6, False),
        (0, 6, True),
    ]
    assert [event.data["text"] for page in (first, second) for _, flush in page.flushes for event in flush] == texts


async def test_another_run_has_other_events(records: Records) -> None:
    await stored(records, 2)
    assert await records.events("r2") == []


async def test_unknown_kinds_are_passed_over_and_keep_their_indexes(records: Records) -> None:
    await records.accept("r1")
    rows = [["content"], ["from_the_future"], ["content", "from_the_future", "content"], ["from_the_future"] * 2]
    index = 0
    for kinds in [*rows, ["content"]]:
        payload = json.dumps([[kind, "r1", 1.0, {}, ""] for kind in kinds])
        await records.execute(
            """INSERT INTO run_events (root_id, first_index, shard, count, payload)
               SELECT run_id, :i, shard, :n, :p FROM runs WHERE run_id = 'r1'""",
            i=index, n=len(kinds), p=payload,
        )  # fmt: skip
        index += len(kinds)
    assert [index for index, _ in await records.events("r1")] == [0, 2, 4, 7]
    assert [index for index, _ in await records.events("r1", after=2)] == [4, 7]


async def test_the_place_of_an_event_is_stored(records: Records) -> None:
    run = await records.started("r1")
    event = Event(EventKind.TOOL_CALL_STARTED, "r1", 1.0, {"tool": {}}, "t0/c0")
    await records.append(run, events=[event])
    assert await records.database.read(of_run(events.all_events, "r1")) == [(0, event)]
    assert event.key == ("r1", "tool_call_started", "t0/c0")


async def test_a_page_of_unknown_kinds_is_not_the_last(records: Records) -> None:
    await records.accept("r1")
    for index in range(5):
        kind = "content" if index == 4 else "from_the_future"
        await records.execute(
            """INSERT INTO run_events (root_id, first_index, shard, count, payload)
               SELECT run_id, :i, shard, 1, :p FROM runs WHERE run_id = 'r1'""",
            i=index, p=json.dumps([[kind, "r1", 1.0, {}, ""]]),
        )  # fmt: skip
    page = await records.database.read(of_run(events.after, "r1", -1, 2))
    assert (page.flushes, page.last_index, page.is_last) == ([], 1, False)


async def test_gaps_between_flushes_are_no_end(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, events=[delta("r1", "a")])
    await records.execute("UPDATE runs SET next_event = 10 WHERE run_id = 'r1'")
    await records.append(run, events=[delta("r1", "b")])
    for after, left in ((-1, [0, 10]), (0, [10]), (5, [10]), (9, [10]), (10, [])):
        assert [index for index, _ in await records.events("r1", after)] == left


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8), after=st.integers(-1, 40), limit=st.integers(1, 9))
async def test_a_page_is_a_prefix_of_what_is_left(database: Database, sizes: list[int], after: int, limit: int) -> None:
    records = Records(database)
    await records.execute("DELETE FROM run_events")
    await records.execute("DELETE FROM runs")
    await records.execute("DELETE FROM run_io")
    texts = await stored(records, *sizes)
    page = await database.read(of_run(events.after, "r1", after, limit))
    numbered = [(first + offset, event.data["text"]) for first, run in page.flushes for offset, event in enumerate(run)]
    assert numbered == list(enumerate(texts))[after + 1 :][: len(numbered)]
    assert page.is_last or numbered
    if page.is_last:
        assert len(numbered) == len(texts[after + 1 :])


async def test_the_last_pause_of_a_run(records: Records) -> None:
    """Not a member's, and not a text that looks like one."""
    run = await records.started("r1")
    assert await records.database.read(of_run(events.last_pause, "r1", run.next_event)) is None
    paused = [Event(EventKind.RUN_PAUSED, run_id, 1.0, {}, "") for run_id in ("r1", "m1")]
    await records.append(run, events=[delta("r1", "x"), paused[0]])
    await records.append(run, events=[delta("r1", '["run_paused","r1",')])
    await records.append(run, events=paused)
    await records.append(run, events=paused[1:])
    next_event = (await records.row("r1")).next_event
    assert await records.database.read(of_run(events.last_pause, "r1", next_event)) == 3
