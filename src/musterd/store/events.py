"""Stored events, from any index."""

import json
from collections.abc import Sequence

from musterd.core.events import Event, EventKind
from musterd.store.database import Statement, Tx

AFTER = Statement(
    "events_after",
    """SELECT first_index, payload FROM run_events WHERE root_id = :root_id AND first_index + count > :start
       ORDER BY first_index LIMIT :limit""",
)
KNOWN_KINDS = frozenset(kind.value for kind in EventKind)


async def after(tx: Tx, root_id: str, index: int, limit: int) -> Sequence[tuple[int, list[Event]]]:
    """Up to ``limit`` stored flushes that hold events after ``index``: (index of the first event, events).

    Events of kinds that a newer version wrote are passed over; their indexes stay unused.
    """
    found: list[tuple[int, list[Event]]] = []
    for row in await tx.all(AFTER, {"root_id": root_id, "start": index + 1, "limit": limit}):
        first = int(row["first_index"])
        run: list[Event] = []
        for kind, run_id, at, data in json.loads(row["payload"]):
            if first + len(run) <= index or kind not in KNOWN_KINDS:
                if run:
                    found.append((first, run))
                    first, run = first + len(run), []
                first += 1
                continue
            run.append(Event(EventKind(kind), run_id, at, data))
        if run:
            found.append((first, run))
    return found
