"""Pages of lists, with the peer's ``meta``."""

from collections.abc import Sequence
from typing import Any


def page_object(data: Sequence[Any], total: int, *, page: int, limit: int) -> dict[str, Any]:
    """One page of a list of ``total`` items."""
    meta = {
        "page": page,
        "limit": limit,
        "total_pages": -(-total // limit),
        "total_count": total,
        "search_time_ms": 0.0,
    }
    return {"data": list(data), "meta": meta}
