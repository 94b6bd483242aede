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


class CursorTexts:
    """The texts of a stream's cursors that differ only in how far the subscriber has read one run.

    :param others: how far it has read all other runs.
    """

    def __init__(self, others: Cursor, run_id: str) -> None:
        runs = jsontext.dumps(dict(others.runs))[1:-1]
        beginning = f"[{others.seq},{{{runs}{',' if runs else ''}"
        # Spaces up to a multiple of three bytes: then the base64 of the beginning is that of each text.
        self._beginning = _base64(beginning + " " * (-len(beginning.encode()) % 3))
        self._run_id = jsontext.dumps(run_id)
        self._end = f"}},{jsontext.dumps(others.session_created_at)}]"

    def text(self, index: int) -> str:
        """The text of the cursor of a subscriber that has read the run's event with this index."""
        return self._beginning + _base64(f"{self._run_id}:{index}{self._end}").rstrip("=")


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


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
