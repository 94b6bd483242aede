"""Reading stored events, from any index."""

import json
from dataclasses import dataclass

from musterd.core.events import Event, EventKind
from musterd.store.database import Statement, Tx
from musterd.store.event_compaction import rest_of

# Flushes do not overlap, so the second condition follows from the first. It gives the index a starting point: a page
# far into a long run is not searched from the first event.
AFTER = Statement(
    "events_after",
    """SELECT first_index, count, payload FROM run_events
       WHERE root_id = :root_id AND first_index + count > :start
         AND first_index >= COALESCE((SELECT max(first_index) FROM run_events
                                      WHERE root_id = :root_id AND first_index <= :start), 0)
       ORDER BY first_index LIMIT :limit""",
)
PAGE_FLUSHES = 200
KNOWN_KINDS = frozenset(kind.value for kind in EventKind)


@dataclass(frozen=True, slots=True)
class Page:
    """Stored flushes, each with the index of its first event.

    :param last_index: the index of the last event that was read, including events that were skipped.
    :param is_last: whether no more events were stored.
    """

    flushes: list[tuple[int, list[Event]]]
    last_index: int
    is_last: bool


async def after(tx: Tx, root_id: str, index: int, limit: int) -> Page:
    """The events after ``index`` of up to ``limit`` stored flushes.

    Events of kinds that only a newer version knows are skipped; their indexes stay unused.
    """
    rows = await tx.all(AFTER, {"root_id": root_id, "start": index + 1, "limit": limit})
    flushes: list[tuple[int, list[Event]]] = []
    for row in rows:
        # A flush is split where events are skipped, so that the events of each part have consecutive indexes.
        first = int(row["first_index"])
        events: list[Event] = []
        stored = json.loads(row["payload"])
        for number, (kind, run_id, at, data, place) in enumerate(stored):
            if first + len(events) <= index or kind not in KNOWN_KINDS:
                if events:
                    flushes.append((first, events))
                    first, events = first + len(events), []
                first += 1
                continue
            while data is None:  # the same as that of the next event
                number += 1
                data = stored[number][3]
            events.append(Event(EventKind(kind), run_id, at, rest_of(data, index), place))
        if events:
            flushes.append((first, events))
    last_index = int(rows[-1]["first_index"]) + int(rows[-1]["count"]) - 1 if rows else index
    return Page(flushes, last_index, is_last=len(rows) < limit)


async def every(tx: Tx, root_id: str) -> list[tuple[int, Event]]:
    """Every stored event of a known kind, with its index. Read page by page, so that other work gets its turn."""
    events: list[tuple[int, Event]] = []
    page = Page([], -1, is_last=False)
    while not page.is_last:
        page = await after(tx, root_id, page.last_index, PAGE_FLUSHES)
        events += [(first + offset, event) for first, flush in page.flushes for offset, event in enumerate(flush)]
    return events
