"""Joining the pieces of texts: what was streamed bit by bit is one event, once its run has ended long enough ago.

Pieces that come one after the other, with nothing else between them, become one event for each text that they are of;
these stand at the last indexes of the pieces. A joined event says where its pieces were: whoever had read some of them
gets the rest. All other events stay as they are; the indexes of pieces stay unused.

Events of a run that has ended do not change, so they are read first (:func:`read`), joined beside the event loop and
outside of any transaction (:func:`joined`), and put in their place then (:func:`put`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.events import DELTAS
from musterd.store.database import Statement, Tx

UNJOINED = Statement(
    "joining_unjoined",
    """SELECT run_id FROM runs WHERE parent_id IS NULL AND ended_at IS NOT NULL AND pieces_joined = 0
       AND ended_at <= :before LIMIT :limit""",
)
TAKE = Statement(
    "joining_take",
    "UPDATE runs SET pieces_joined = 1 WHERE run_id = :root AND pieces_joined = 0 AND ended_at IS NOT NULL",
)
ROWS = Statement(
    "joining_rows",
    """SELECT first_index, payload FROM run_events WHERE root_id = :root AND first_index > :after
       ORDER BY first_index LIMIT :limit""",
)
REMOVE = Statement("joining_remove", "DELETE FROM run_events WHERE root_id = :root AND first_index = :first_index")
PUT = Statement(
    "joining_put",
    """UPDATE run_events SET first_index = :new_first_index, count = :count, payload = :payload
       WHERE root_id = :root AND first_index = :first_index""",
)
CUTS = "cuts"
"""Where the pieces of a joined text were: index, and how much text and reasoning there was up to it."""
TEXTS = ("text", "reasoning")
PAGE_ROWS = 500
"""What is read at once."""
_NOTHING: list[Any] = ["", "", 0, None, ""]
"""In the place of a piece, between events that stay: of no kind, so it is passed over."""

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
    """What joining changes: the rows to put in the place of others, and how many events are fewer."""

    rows: list[_Row]
    fewer: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece, and where it stands."""

    row: _Row
    place: int
    event: Stored

    @property
    def index(self) -> int:
        return self.row.first_index + self.place

    def put(self, event: Stored | None) -> None:
        """Have another event in its place, or none."""
        self.row.events[self.place] = event
        self.row.is_changed = True


async def unjoined(tx: Tx, before: float, limit: int) -> list[str]:
    """Root runs that ended before ``before`` and whose texts are in pieces."""
    return [row["run_id"] for row in await tx.all(UNJOINED, {"before": before, "limit": limit})]


async def read(tx: Tx, root_id: str) -> list[tuple[int, str]]:
    """The events of a run that has ended, as they are stored: each flush with the index of its first event."""
    found: list[tuple[int, str]] = []
    while True:
        after = found[-1][0] if found else -1
        rows = await tx.all(ROWS, {"root": root_id, "after": after, "limit": PAGE_ROWS})
        found += [(int(row["first_index"]), row["payload"]) for row in rows]
        if len(rows) < PAGE_ROWS:
            return found


def joined(found: Iterable[tuple[int, str]]) -> Joined:
    """The same events with the pieces of texts joined."""
    rows = [_Row(first_index, json.loads(payload)) for first_index, payload in found]
    fewer = _join(rows)
    return Joined([row for row in rows if row.is_changed], fewer)


async def put(tx: Tx, root_id: str, found: Joined) -> int:
    """Put what was joined in its place, once; how many events are fewer."""
    if not await tx.run(TAKE, {"root": root_id}):
        return 0
    for row in found.rows:
        await _store(tx, root_id, row)
    return found.fewer


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
    """Join pieces that have nothing else between them; how many events are fewer."""
    texts = _texts(pieces)
    if len(texts) == len(pieces):
        return 0
    places = pieces[-len(texts) :]
    for piece in pieces:
        piece.put(None)
    for place, text in zip(places, texts, strict=True):
        place.put(_joined(text, places[0].index))
    return len(pieces) - len(texts)


def _texts(pieces: list[_Piece]) -> list[list[_Piece]]:
    """The pieces by the texts that they are of, in the order in which these begin."""
    texts: list[list[_Piece]] = []
    open_texts: dict[str, list[_Piece]] = {}
    for piece in pieces:
        kind, run_id = piece.event[:2]
        text = open_texts.get(run_id)
        if text is None or text[-1].event[0] != kind:
            text = open_texts[run_id] = []
            texts.append(text)
        text.append(piece)
    return texts


def _joined(text: list[_Piece], first_index: int) -> Stored:
    """The event that stands for all pieces of a text.

    :param first_index: of the joined ones; whoever has read up to there has read them joined.
    """
    words, cuts = dict.fromkeys(TEXTS, ""), []
    for piece in text:
        for name in TEXTS:
            words[name] += piece.event[3].get(name) or ""
        if piece.index < first_index:
            cuts.append([piece.index, *(len(words[name]) for name in TEXTS)])
    kind, run_id, _, data, path = text[0].event
    told = {**data, **{name: said for name, said in words.items() if said}, CUTS: cuts}
    return [kind, run_id, text[-1].event[2], told, path]


async def _store(tx: Tx, root_id: str, row: _Row) -> None:
    kept = [place for place, event in enumerate(row.events) if event is not None]
    named = {"root": root_id, "first_index": row.first_index}
    if not kept:
        await tx.run(REMOVE, named)
        return
    events = [_NOTHING if event is None else event for event in row.events[kept[0] : kept[-1] + 1]]
    moved = {"new_first_index": row.first_index + kept[0], "count": len(events), "payload": jsontext.dumps(events)}
    await tx.run(PUT, {**named, **moved})


def rest_of(data: dict[str, Any], index: int) -> dict[str, Any]:
    """What an event says to whoever has read up to ``index``: of a joined text what came after that."""
    if CUTS not in data:
        return data
    told = {name: value for name, value in data.items() if name != CUTS}
    if read := [cut for cut in data[CUTS] if cut[0] <= index]:
        for name, length in zip(TEXTS, read[-1][1:], strict=True):
            if rest := told.pop(name, "")[length:]:
                told[name] = rest
    return told
