"""An index of int8 vectors in memory, searched exactly (decision 016)."""

from __future__ import annotations

import threading
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from musterd.knowledge.problems import LengthsDiffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_DEAD_SHARE = 0.1
"""The share of removed vectors above which the index is copied without them."""
FIRST_CAPACITY = 256
OTHER_BYTES = 9
"""What each vector takes beside its numbers: its id, and whether it is alive."""


def memory_needed(count: int, length: int) -> int:
    """How much memory so many vectors take, all of them alive."""
    return count * (length + OTHER_BYTES)


class VectorIndex:
    """Vectors of one embedder by integer ids. All of them have the same length.

    Searches may run in several threads, also while vectors are added or removed: each search sees the state before or
    after a change. The ids of one call of :meth:`add` are searched together or not at all.
    """

    def __init__(self) -> None:
        self._write_lock = threading.Lock()
        self._rows: _Rows | None = None

    @property
    def memory_bytes(self) -> int:
        """How much memory the index takes."""
        return 0 if self._rows is None else self._rows.memory_bytes

    def __len__(self) -> int:
        return 0 if self._rows is None else self._rows.count - self._rows.dead

    def add(self, ids: Sequence[int], vectors: Sequence[bytes]) -> None:
        """Add vectors, or replace those of the same ids.

        :raises LengthsDiffer: a vector has another length than those in the index.
        """
        import numpy as np

        if not ids:
            return
        length = len(vectors[0]) if self._rows is None else self._rows.vectors.shape[1]
        if other := next((len(vector) for vector in vectors if len(vector) != length), 0):
            raise LengthsDiffer(length, other)
        new_ids = np.array(ids, dtype=np.int64)
        matrix = np.frombuffer(b"".join(vectors), dtype=np.int8).reshape(len(ids), length)
        with self._write_lock:
            rows = _Rows.empty(length) if self._rows is None else self._rows
            self._rows = rows.without(new_ids).compact(MAX_DEAD_SHARE).plus(new_ids, matrix)

    def remove(self, ids: Collection[int]) -> None:
        """Remove the vectors of these ids. Ids that the index does not have are ignored."""
        import numpy as np

        with self._write_lock:
            if self._rows is not None and ids:
                removed = np.fromiter(ids, dtype=np.int64, count=len(ids))
                self._rows = self._rows.without(removed).compact(MAX_DEAD_SHARE)

    def search(self, vector: bytes, limit: int, allowed: Container[int] | None = None) -> list[tuple[int, float]]:
        """The ids of the nearest vectors with their cosines, the nearest first; equally near ones by id.

        It computes for some milliseconds without Python's lock, so call it in a thread.

        :param allowed: the ids among which to search; None: all.
        :raises LengthsDiffer: the vector has another length than those in the index.
        """
        import numpy as np

        rows = self._rows  # one state for the whole search
        if rows is None or not rows.count or limit < 1 or not any(vector):
            return []
        if len(vector) != rows.vectors.shape[1]:
            raise LengthsDiffer(rows.vectors.shape[1], len(vector))
        is_candidate = rows.candidate_mask(allowed)
        distances = rows.distances(np.frombuffer(vector, dtype=np.int8))
        if is_candidate is not None:
            positions = np.flatnonzero(is_candidate)
            distances, ids = distances[positions], rows.ids[positions]
        else:
            ids = rows.ids[: rows.count]
        if len(ids) > limit:
            # All that are as near as the last one, so that ids and not positions decide between them.
            nearest = np.flatnonzero(distances <= np.partition(distances, limit - 1)[limit - 1])
            distances, ids = distances[nearest], ids[nearest]
        order = np.lexsort((ids, distances))[:limit]
        return [(int(ids[at]), 1.0 - float(distances[at])) for at in order]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """A state of the index. Arrays are shared between states; only positions from ``count`` on are ever written.

    :param alive: False for removed vectors. It is copied when it changes.
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.int8]
    alive: NDArray[np.bool_]
    count: int = 0
    dead: int = 0

    @classmethod
    def empty(cls, length: int, capacity: int = FIRST_CAPACITY) -> _Rows:
        import numpy as np

        return cls(
            ids=np.empty(capacity, dtype=np.int64),
            vectors=np.empty((capacity, length), dtype=np.int8),
            alive=np.ones(capacity, dtype=np.bool_),
        )

    @property
    def memory_bytes(self) -> int:
        return self.ids.nbytes + self.vectors.nbytes + self.alive.nbytes

    def distances(self, vector: NDArray[np.int8]) -> NDArray[np.float64]:
        """One minus the cosine of each row with ``vector``."""
        import numkong
        import numpy as np

        result: NDArray[np.float64] = np.asarray(
            numkong.cdist(vector.reshape(1, -1), self.vectors[: self.count], "angular"), dtype=np.float64
        )
        return result.reshape(-1)

    def candidate_mask(self, allowed: Container[int] | None) -> NDArray[np.bool_] | None:
        """For each row whether it may be found; None if all may."""
        import numpy as np

        alive = self.alive[: self.count] if self.dead else None
        if allowed is None:
            return alive
        ids = self.ids[: self.count]
        if isinstance(allowed, Collection):
            is_allowed = np.isin(ids, np.fromiter(allowed, dtype=np.int64, count=len(allowed)))
        else:
            is_allowed = np.fromiter((chunk_id in allowed for chunk_id in ids.tolist()), dtype=np.bool_, count=len(ids))
        return is_allowed if alive is None else is_allowed & alive

    def without(self, ids: NDArray[np.int64]) -> _Rows:
        import numpy as np

        if not self.count or ids.min() > self.ids[: self.count].max():  # as for chunks that are new
            return self
        is_removed = np.isin(self.ids[: self.count], ids) & self.alive[: self.count]
        if not (removed := int(is_removed.sum())):
            return self
        alive = self.alive.copy()
        alive[: self.count][is_removed] = False
        return self._with(alive=alive, dead=self.dead + removed)

    def compact(self, max_dead_share: float) -> _Rows:
        """A copy without the removed rows, if they are more than a share."""
        if self.dead <= max_dead_share * self.count:
            return self
        alive = self.alive[: self.count]
        return _Rows.empty(self.vectors.shape[1]).plus(self.ids[: self.count][alive], self.vectors[: self.count][alive])

    def plus(self, ids: NDArray[np.int64], vectors: NDArray[np.int8]) -> _Rows:
        """With more rows. A vector without a direction, all zeros, is left out."""
        has_direction = vectors.any(axis=1)
        if not has_direction.all():
            ids, vectors = ids[has_direction], vectors[has_direction]
        count = self.count + len(ids)
        rows = self if count <= len(self.ids) else self._grown(max(count, len(self.ids) * 9 // 8))
        rows.ids[self.count : count] = ids
        rows.vectors[self.count : count] = vectors
        return rows._with(count=count)

    def _grown(self, capacity: int) -> _Rows:
        grown = _Rows.empty(self.vectors.shape[1], capacity)
        grown.ids[: self.count] = self.ids[: self.count]
        grown.vectors[: self.count] = self.vectors[: self.count]
        grown.alive[: self.count] = self.alive[: self.count]
        return grown._with(count=self.count, dead=self.dead)

    def _with(self, **changes: Any) -> _Rows:
        return replace(self, **changes)
