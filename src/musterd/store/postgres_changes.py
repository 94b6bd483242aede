"""Whether any process has written to a Postgres database, without a message from it.

Each write transaction has an id, and a snapshot says which ids have ended: all below its upper bound, except those that
it lists as in progress. So two snapshots differ if and only if a transaction has ended between them, and none is
missed: a transaction is in no snapshot before its commit, and in each one after it.

Announcements of workers and their heartbeats are write transactions, too. Each leaves its id in the worker's row, so
these rows tell them from other transactions. What happens in other databases of the server counts as a change: this is
a hint to look.
"""

from collections.abc import Collection
from dataclasses import dataclass

from musterd.store.database import Row

# One statement, so that the snapshot that it returns is the one in which it sees the rows of `workers`.
LOOK = b"SELECT pg_current_snapshot()::text AS snapshot, ARRAY(SELECT xmin::text::bigint FROM workers) AS beats"
EPOCH = 2**32
"""Rows have the ids of transactions modulo this number."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions had ended at some moment.

    :param end: no transaction with this id or a greater one had.
    :param active: those with smaller ids that had not.
    """

    end: int
    active: frozenset[int]

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Read Postgres's own form, such as ``10:20:10,14,15``."""
        _, end, active = text.split(":")
        return cls(int(end), frozenset(map(int, active.split(","))) if active else frozenset())

    def has_ended_only(self, beats: Collection[int], before: "Snapshot") -> bool:
        """Whether all transactions that have ended since ``before`` are heartbeats.

        :param beats: the ids of the last heartbeat of each worker, modulo :data:`EPOCH`.
        """
        if self.end - before.end > len(beats) + len(self.active):
            return False
        ended = (before.active - self.active) | (set(range(before.end, self.end)) - self.active)
        return all(xid % EPOCH in beats for xid in ended)


class ChangeCounter:
    """Counts the changes of the database, as seen by reading :data:`LOOK` again and again."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._count = 0

    def count(self, row: Row) -> int:
        """The number after reading ``row``. Reads may overlap, and their rows may come in any order."""
        snapshot = Snapshot.of(row["snapshot"])
        if self._last is None or not snapshot.has_ended_only(frozenset(row["beats"]), self._last):
            self._count += 1
        self._last = snapshot
        return self._count
