"""Vectors of floats as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 127


def as_bytes(vectors: NDArray[np.float32]) -> list[bytes]:
    """Each row as int8 numbers. A row is scaled so that its largest number is 127, which keeps its direction."""
    import numpy as np

    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors * (LARGEST / np.where(largest > 0, largest, 1))
    return [row.tobytes() for row in np.rint(scaled).astype(np.int8)]
