"""Compacting stored events: the deltas of a streamed text become one event, some time after the run has finished.

Consecutive deltas, with no other event between them, become one event for each text that they belong to. The joined
events get the last indexes of the deltas; the other indexes stay unused. A joined event records where its deltas were,
so that a subscriber whose cursor is between them gets the rest of the text. All other events stay as they are.

The events of a finished run do not change. Therefore they are read first (:func:`read`), joined in a thread and outside
of any transaction (:func:`joined`), and only then written (:func:`put`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.events import DELTAS
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

UNJOINED = Statement(
    "joining_unjoined",
    """SELECT run_id, session_id FROM runs WHERE parent_id IS NULL AND ended_at IS NOT NULL AND is_compacted = 0
       AND ended_at <= :before LIMIT :limit""",
)
TAKE = Statement(
    "joining_take",
    """UPDATE runs SET is_compacted = 1
       WHERE run_id = :root AND shard = :shard AND is_compacted = 0 AND ended_at IS NOT NULL""",
)
ROWS = Statement(
    "joining_rows",
    """SELECT first_index, payload FROM run_events WHERE root_id = :root AND shard = :shard AND first_index > :after
       ORDER BY first_index LIMIT :limit""",
)
REMOVE = Statement(
    "joining_remove", "DELETE FROM run_events WHERE root_id = :root AND first_index = :first_index AND shard = :shard"
)
PUT = Statement(
    "joining_put",
    """UPDATE run_events SET first_index = :new_first_index, count = :count, payload = :payload
       WHERE root_id = :root AND first_index = :first_index AND shard = :shard""",
)
CUTS = "cuts"
"""Key of a joined event: for each of its deltas the index, and the length of text and reasoning up to it."""
TEXTS = ("text", "reasoning")
PAGE_ROWS = 500
"""How many rows are read at once."""
_NOTHING: list[Any] = ["", "", 0, None, ""]
"""Replaces a delta between events that stay. It has no kind, so readers skip it."""

Stored = list[Any]
"""An event as it is stored: kind, run, time, data, place."""
_PIECES = frozenset(kind.value for kind in DELTAS)


@dataclass(slots=True)
class _Row:
    first_index: int
    events: list[Stored | None]
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """The result of joining: the changed rows, and by how much the number of events decreased."""

    rows: list[_Row]
    fewer: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A delta, and its place in a row."""

    row: _Row
    place: int
    event: Stored

    @property
    def index(self) -> int:
        return self.row.first_index + self.place

    def put(self, event: Stored | None) -> None:
        """Replace the delta by another event, or by none."""
        self.row.events[self.place] = event
        self.row.is_changed = True


async def unjoined(tx: Tx, before: float, limit: int) -> list[tuple[str, str]]:
    """Root runs that finished before ``before`` and have not been compacted, each with its session."""
    return [(row["run_id"], row["session_id"]) for row in await tx.all(UNJOINED, {"before": before, "limit": limit})]


async def read(tx: SessionTx, root_id: str) -> list[tuple[int, str]]:
    """The stored events of a finished run: each flush with the index of its first event."""
    flushes: list[tuple[int, str]] = []
    while True:
        after = flushes[-1][0] if flushes else -1
        rows = await tx.all(ROWS, {"root": root_id, "after": after, "limit": PAGE_ROWS})
        flushes += [(int(row["first_index"]), row["payload"]) for row in rows]
        if len(rows) < PAGE_ROWS:
            return flushes


def joined(flushes: Iterable[tuple[int, str]]) -> Joined:
    """Join the deltas of texts."""
    rows = [_Row(first_index, json.loads(payload)) for first_index, payload in flushes]
    fewer = _join(rows)
    return Joined([row for row in rows if row.is_changed], fewer)


async def put(tx: SessionTx, root_id: str, result: Joined) -> int:
    """Write the joined events, once; return by how much the number of events decreased."""
    # Two processes may have joined the same run. The flag is set with the rows in one transaction, so only the first
    # one writes; the second would match rows that have moved. A removal of the run takes the flag's row with it.
    if not await tx.run(TAKE, {"root": root_id}):
        return 0
    for row in result.rows:
        await _store(tx, root_id, row)
    return result.fewer


def _join(rows: list[_Row]) -> int:
    fewer, pieces = 0, list[_Piece]()
    for row in rows:
        for place, event in enumerate(list(row.events)):
            if event is not None and _is_piece(event):
                pieces.append(_Piece(row, place, event))
            else:
                fewer += _join_between(pieces)
                pieces = []
    return fewer + _join_between(pieces)


def _is_piece(event: Stored) -> bool:
    kind, _, _, data, path = event
    return kind in _PIECES and not path and isinstance(data, dict) and CUTS not in data


def _join_between(pieces: list[_Piece]) -> int:
    """Join consecutive deltas; return by how much the number of events decreased."""
    texts = _texts(pieces)
    if len(texts) == len(pieces):
        return 0
    # The joined events take the last of the indexes, in the order in which their texts begin. So a cursor before the
    # last pieces still finds them, and the cuts tell how much of each text it has read.
    last_pieces = pieces[-len(texts) :]
    for piece in pieces:
        piece.put(None)
    for piece, text in zip(last_pieces, texts, strict=True):
        piece.put(_joined(text, last_pieces[0].index))
    return len(pieces) - len(texts)


def _texts(pieces: list[_Piece]) -> list[list[_Piece]]:
    """The deltas grouped by text, in the order in which the texts begin."""
    texts: list[list[_Piece]] = []
    open_texts: dict[tuple[str, str | None], list[_Piece]] = {}
    for piece in pieces:
        kind, run_id, _, data, _ = piece.event
        key = run_id, data.get("path")
        text = open_texts.get(key)
        if text is None or text[-1].event[0] != kind:
            text = open_texts[key] = []
            texts.append(text)
        text.append(piece)
    return texts


def _joined(text: list[_Piece], first_index: int) -> Stored:
    """The event that replaces all deltas of a text.

    :param first_index: the first index of the joined events. A cursor at or after it was given out with joined events.
    """
    parts, lengths, cuts = {name: list[str]() for name in TEXTS}, dict.fromkeys(TEXTS, 0), []
    for piece in text:
        for name in TEXTS:
            part = piece.event[3].get(name) or ""
            parts[name].append(part)
            lengths[name] += len(part)
        if piece.index < first_index:
            cuts.append([piece.index, *lengths.values()])
    kind, run_id, _, data, path = text[0].event
    joined_data = {**data, **{name: "".join(parts[name]) for name in TEXTS if lengths[name]}, CUTS: cuts}
    return [kind, run_id, text[-1].event[2], joined_data, path]


async def _store(tx: SessionTx, root_id: str, row: _Row) -> None:
    places = [place for place, event in enumerate(row.events) if event is not None]
    key = {"root": root_id, "first_index": row.first_index}
    if not places:
        await tx.run(REMOVE, key)
        return
    events = [_NOTHING if event is None else event for event in row.events[places[0] : places[-1] + 1]]
    # The new first index lies within the row's old range, so it cannot collide with another row.
    values = {"new_first_index": row.first_index + places[0], "count": len(events), "payload": jsontext.dumps(events)}
    await tx.run(PUT, {**key, **values})


def rest_of(data: dict[str, Any], index: int) -> dict[str, Any]:
    """An event's data for a subscriber that has read up to ``index``: of a joined text only the rest."""
    if CUTS not in data:
        return data
    result = {name: value for name, value in data.items() if name != CUTS}
    if read_cuts := [cut for cut in data[CUTS] if cut[0] <= index]:
        for name, length in zip(TEXTS, read_cuts[-1][1:], strict=True):
            if rest := result.pop(name, "")[length:]:
                result[name] = rest
    return result
