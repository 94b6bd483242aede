"""Pieces of texts that were joined: whoever reads, from wherever, is told the same words."""

import json
from collections import defaultdict
from typing import Any

import pytest

from musterd.core.events import Event, EventKind
from musterd.store import event_compaction, events
from tests.support.cpu_time import cpu_at_most
from tests.support.store import Records, delta, of_run

LATER = 10_000.0


def model_request(run_id: str) -> Event:
    return Event(EventKind.MODEL_REQUEST_STARTED, run_id, 1.0, {"model": "m"}, f"t0/{run_id}")


def thought(run_id: str, text: str) -> Event:
    return Event(EventKind.CONTENT, run_id, 1.0, {"reasoning": text})


FLUSHES = [
    [model_request("r1"), delta("r1", "a")],
    [delta("r1", "b"), thought("r1", "hm")],
    [delta("r1", "c")],
    [delta("m1", "x"), delta("r1", "d"), delta("m1", "y")],
    [model_request("m1"), delta("m1", "z"), delta("r1", "e")],
    [model_request("r1")],
    [delta("r1", "f")],
    [Event(EventKind.RUN_COMPLETED, "r1", 2.0, {"output": {"content": "abcdef"}})],
]


async def stored(records: Records) -> None:
    run = await records.started("r1")
    for flush in FLUSHES:
        await records.append(run, events=flush)
    await records.settle(run)


async def join(records: Records) -> int:
    roots = await records.database.scan(lambda tx: event_compaction.unjoined(tx, LATER, 10))
    fewer = 0
    for root_id, _ in roots:
        fewer += await join_one(records, root_id)
    return fewer


async def join_one(records: Records, root_id: str) -> int:
    joined = event_compaction.joined(await records.database.scan(of_run(event_compaction.read, root_id)))
    return await records.database.write(of_run(event_compaction.put, root_id, joined))


def texts_and_others(indexed: list[tuple[int, Event]]) -> tuple[dict[tuple[str, str], str], list[tuple[int, str]]]:
    """The words of each run, and everything else with its index."""
    words: defaultdict[tuple[str, str], str] = defaultdict(str)
    rest = []
    for index, event in indexed:
        if event.is_delta:
            for name in ("text", "reasoning"):
                words[event.run_id, name] += event.data.get(name, "")
        else:
            rest.append((index, event.kind.value))
    return {name: text for name, text in words.items() if text}, rest


async def test_from_every_index_the_words_are_the_same(records: Records) -> None:
    await stored(records)
    before = [await records.events("r1", after) for after in range(-1, 20)]
    fewer = await join(records)
    assert fewer == 5
    for after, was in enumerate(before, -1):
        tail = await records.events("r1", after)
        if after != 6:  # where the first of the joined texts stands: the second is told whole from there on
            assert texts_and_others(tail) == texts_and_others(was), f"after {after}"
        assert all(index > after for index, _ in tail)
        assert [index for index, _ in tail] == sorted({index for index, _ in tail})
        assert not [event for _, event in tail if event_compaction.CUTS in event.data], "how it is stored is not told"
    assert len(before[0]) - len(await records.events("r1")) == fewer


async def test_a_long_story_is_read_in_pages(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(records)
    whole = await records.events("r1")
    monkeypatch.setattr(event_compaction, "PAGE_ROWS", 2)
    monkeypatch.setattr(events, "PAGE_FLUSHES", 2)
    assert await records.database.scan(of_run(events.all_events, "r1")) == whole
    await join(records)
    assert texts_and_others(await records.database.scan(of_run(events.all_events, "r1"))) == texts_and_others(whole)


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_page_by_page_nothing_is_missed(records: Records, limit: int) -> None:
    await stored(records)
    await join(records)
    whole, pieces, last, is_last = await records.events("r1"), [], -1, False
    while not is_last:
        page = await records.database.read(of_run(events.after, "r1", last, limit))
        pieces += [(first + offset, event) for first, run in page.flushes for offset, event in enumerate(run)]
        last, is_last = page.last_index, page.is_last
    assert texts_and_others(pieces) == texts_and_others(whole)


async def test_texts_of_two_answers_stay_apart(records: Records) -> None:
    await stored(records)
    await join(records)
    texts = [event.data["text"] for _, event in await records.events("r1") if event.is_delta and event.run_id == "r1"]
    assert texts == ["abcd", "e", "f"]


async def test_it_is_done_once_and_only_after_the_end(records: Records) -> None:
    run = await records.started("r1")
    await records.append(run, events=[delta("r1", "a")])
    await records.append(run, events=[delta("r1", "b")])
    assert await join(records) == 0, "it is at work"
    await records.settle(run)
    assert await join(records) == 1
    rows = await records.select("SELECT * FROM run_events")
    assert len(rows) == 1
    assert await join_one(records, "r1") == 0
    assert await records.select("SELECT * FROM run_events") == rows


def test_texts_of_steps_beside_each_other_are_joined_each() -> None:
    def piece(path: str, text: str) -> list[Any]:
        return ["step_content", "r1", 1.0, {"path": path, "text": text, "step": {"step_name": path}}, ""]

    flush = [piece("s0/b0", "a"), piece("s0/b1", "x"), piece("s0/b0", "b"), piece("s0/b1", "y")]
    joined = event_compaction.joined([(0, json.dumps(flush))])
    left = [event[3] for row in joined.rows for event in row.events if event is not None]
    assert [(data["path"], data["text"], data["step"]) for data in left] == [
        ("s0/b0", "ab", {"step_name": "s0/b0"}),
        ("s0/b1", "xy", {"step_name": "s0/b1"}),
    ]


def test_the_deltas_of_a_long_text_are_joined_in_little_time() -> None:
    pieces = [["content", "r1", 1.0, {"text": "ü" * 50, "reasoning": "x" * 50}, ""] for _ in range(20_000)]
    with cpu_at_most(0.7):  # it was 10 seconds
        joined = event_compaction.joined([(0, json.dumps(pieces))])
    (event,) = [event for event in joined.rows[0].events if event is not None]
    assert (len(event[3]["text"]), event[3][event_compaction.CUTS][-1]) == (1_000_000, [19_998, 999_950, 999_950])
