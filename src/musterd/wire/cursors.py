"""Cursors as text: of a session's stream, and of pages of runs.

They are opaque to clients: letters, digits, ``-`` and ``_``. Clients that search a stream for braces find none in them.
"""

import base64
import binascii

from musterd.core import jsontext
from musterd.core.errors import InvalidInput
from musterd.core.session_cursors import Cursor

CURSOR_CHARACTERS = 256 * 1024
_WHOLE_LIMIT = 2**53


def cursor_text(cursor: Cursor) -> str:
    """The text of a stream's cursor: how far its subscriber has read each run of the session."""
    text = jsontext.dumps([cursor.seq, dict(cursor.runs), cursor.session_created_at])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(text: str, where: tuple[str, ...]) -> Cursor:
    """The cursor in ``text``.

    :param where: the parameter that contains it, for the error.
    :raises InvalidInput: it is not such a cursor.
    """
    problem = InvalidInput.at(where, "cursor", "Input should be the id of an event of this session's stream")
    if len(text) > CURSOR_CHARACTERS:
        raise problem
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        value = jsontext.loads(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (ValueError, binascii.Error, RecursionError) as error:
        raise problem from error
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[1], dict):
        raise problem
    seq, runs, session_created_at = value
    if not all(map(_is_index, (seq, *runs.values()))) or not isinstance(session_created_at, float):
        raise problem
    if not all(jsontext.is_storable(run_id) for run_id in runs):
        raise problem
    return Cursor(seq, runs, session_created_at)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= _WHOLE_LIMIT


RunPosition = tuple[float, str]
"""The acceptance and the id of the last run of a page."""


def run_cursor(position: RunPosition) -> str:
    """The cursor of a page that ends there."""
    return base64.urlsafe_b64encode(jsontext.dumps(list(position)).encode()).decode().rstrip("=")


def parse_run_cursor(text: str) -> RunPosition | None:
    """Where a page ended, as :func:`run_cursor` wrote it. None: ``text`` is not a cursor."""
    try:
        created_at, run_id = jsontext.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, RecursionError):
        return None
    if isinstance(created_at, float) and isinstance(run_id, str) and jsontext.is_storable(run_id):
        return created_at, run_id
    return None
