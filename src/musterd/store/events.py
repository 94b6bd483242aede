"""Reads stored events from any index, and encodes flushes for the database and for other processes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import Json
from musterd.store.database import Row, Statement
from musterd.store.event_compaction import rest_of
from musterd.store.shards import SessionTx

# Flushes do not overlap, so the second condition follows from the first. It gives the index a starting point: a page
# far into a long run is not searched from the first event.
AFTER = Statement(
    "events_after",
    """SELECT first_index, count, payload FROM run_events
       WHERE root_id = :root_id AND shard = :shard AND first_index + count > :start
         AND first_index >= COALESCE((SELECT max(first_index) FROM run_events
                                      WHERE root_id = :root_id AND shard = :shard AND first_index <= :start), 0)
       ORDER BY first_index LIMIT :limit""",
)
# From the end: if nothing happened since the pause, the first flush that is looked at has it.
LAST_PAUSE = Statement(
    "events_last_pause",
    """SELECT first_index, payload FROM run_events
       WHERE root_id = :root_id AND shard = :shard AND first_index < :before AND payload LIKE :pattern
       ORDER BY first_index DESC LIMIT 1""",
)
PAGE_FLUSHES = 200
PAGE_CHARACTERS = 1024 * 1024
"""A page ends after so many characters of stored flushes, so that long ones do not fill the memory."""
READ_AT_ONCE = 25
"""How many flushes a statement reads before their length is looked at."""
KNOWN_KINDS = frozenset(kind.value for kind in EventKind)


@dataclass(frozen=True, slots=True)
class StoredFlush:
    """A flush in its stored form, for other processes.

    :param salt: the salt of the run's row. A later run with the same id has another one.
    :param first_index: the index of its first event.
    :param text: its events, :func:`encoded`.
    """

    salt: str | None
    first_index: int
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Stored flushes, each with the index of its first event.

    :param last_index: the index of the last event that was read, including events that were skipped.
    :param is_last: whether no more events were stored.
    """

    flushes: list[tuple[int, list[Event]]]
    last_index: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """The rows of a page, which :func:`decoded_page` decodes.

    :param after_index: the index after which the events are read.
    :param characters: the length of the stored flushes.
    :param is_last: whether no more events were stored.
    """

    rows: list[Row]
    after_index: int
    characters: int
    is_last: bool


async def after(tx: SessionTx, root_id: str, index: int, limit: int) -> Page:
    """The events after ``index`` of up to ``limit`` stored flushes, of fewer if they are long.

    Events of kinds that only a newer version knows are skipped; their indexes stay unused.
    """
    return decoded_page(await encoded_page(tx, root_id, index, limit))


async def encoded_page(tx: SessionTx, root_id: str, index: int, limit: int) -> EncodedPage:
    """The page of :func:`after` as it is stored."""
    rows, next_index, characters = list[Row](), index + 1, 0
    while len(rows) < limit and characters < PAGE_CHARACTERS:
        at_once = min(READ_AT_ONCE, limit - len(rows))
        batch = await tx.all(AFTER, {"root_id": root_id, "start": next_index, "limit": at_once})
        rows += batch
        characters += sum(len(row["payload"]) for row in batch)
        if len(batch) < at_once:
            return EncodedPage(rows, index, characters, is_last=True)
        next_index = _next_index(batch[-1])
    return EncodedPage(rows, index, characters, is_last=False)


def decoded_page(page: EncodedPage) -> Page:
    """The events of a page."""
    flushes, last_index = list[tuple[int, list[Event]]](), page.after_index
    for row in page.rows:
        flushes += decoded(int(row["first_index"]), row["payload"], last_index)
        last_index = _next_index(row) - 1
    return Page(flushes, last_index, page.is_last)


def _next_index(row: Row) -> int:
    return int(row["first_index"]) + int(row["count"])


def encoded(events: Sequence[Event]) -> str:
    """Encode the events of a flush for storage."""
    return jsontext.dumps(stored_form(events))


def stored_form(events: Sequence[Event]) -> Json:
    """The value whose JSON is the stored form of a flush."""
    stored = []
    for event, following in zip(events, [*events[1:], None], strict=True):
        # If two consecutive events share one data object, it is stored only with the second one.
        is_shared = following is not None and following.data is event.data and not event.is_delta
        stored.append([event.kind.value, event.run_id, event.at, None if is_shared else event.data, event.place])
    return stored


def decoded(first_index: int, text: str | bytes, after_index: int) -> list[tuple[int, list[Event]]]:
    """The events of a stored flush that follow ``after_index``.

    :return: parts of the flush, each with the index of its first event. The flush is split where events are skipped, so
        that the events of each part have consecutive indexes.
    """
    parts: list[tuple[int, list[Event]]] = []
    first, events = first_index, list[Event]()
    stored = json.loads(text)
    for number, (kind, run_id, at, data, place) in enumerate(stored):
        if first + len(events) <= after_index or kind not in KNOWN_KINDS:
            if events:
                parts.append((first, events))
                first, events = first + len(events), []
            first += 1
            continue
        while data is None:  # the data is that of the next event
            number += 1
            data = stored[number][3]
        events.append(Event(EventKind(kind), run_id, at, rest_of(data, after_index), place))
    if events:
        parts.append((first, events))
    return parts


async def last_pause(tx: SessionTx, root_id: str, before: int) -> int | None:
    """The index of the last pause of a root run before an index; None: it has not paused."""
    pattern = f'%["{EventKind.RUN_PAUSED}",%'
    while row := await tx.one(LAST_PAUSE, {"root_id": root_id, "before": before, "pattern": pattern}):
        before = int(row["first_index"])
        for index, event in reversed(_indexed(decoded(before, row["payload"], -1))):  # members pause too
            if event.kind is EventKind.RUN_PAUSED and event.run_id == root_id:
                return index
    return None


def _indexed(flushes: Sequence[tuple[int, list[Event]]]) -> list[tuple[int, Event]]:
    return [(first + offset, event) for first, flush in flushes for offset, event in enumerate(flush)]


async def all_events(tx: SessionTx, root_id: str) -> list[tuple[int, Event]]:
    """Every stored event of a known kind, with its index. Read page by page, so that other work gets its turn."""
    events: list[tuple[int, Event]] = []
    page = Page([], -1, is_last=False)
    while not page.is_last:
        page = await after(tx, root_id, page.last_index, PAGE_FLUSHES)
        events += _indexed(page.flushes)
    return events
