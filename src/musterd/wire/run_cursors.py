"""The cursor that leads from one page of runs to the next. It is opaque to clients."""

import base64

from musterd.core import jsontext
from musterd.core.records import RunRow

RunPosition = tuple[float, str]
"""The acceptance and the id of the last run of a page."""


def run_cursor(row: RunRow) -> str:
    """The cursor of a page that ends with this run."""
    return base64.urlsafe_b64encode(jsontext.dumps([row.created_at, row.run_id]).encode()).decode().rstrip("=")


def parse_run_cursor(text: str) -> RunPosition | None:
    """Where a page ended, as :func:`run_cursor` wrote it. None: ``text`` is not a cursor."""
    try:
        created_at, run_id = jsontext.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, RecursionError):
        return None
    if isinstance(created_at, float) and isinstance(run_id, str) and jsontext.is_storable(run_id):
        return created_at, run_id
    return None
