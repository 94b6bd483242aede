"""The cursor of a session's stream: how far a reader has come in each of its runs, as one word.

Opaque to clients: letters, digits, ``-`` and ``_``, so that no scanner finds a brace in it, and any process reads it.
"""

import base64
import binascii

from musterd.core import jsontext
from musterd.core.errors import InvalidInput
from musterd.core.session_cursors import Cursor

CURSOR_CHARACTERS = 256 * 1024
_WHOLE_LIMIT = 2**53


def cursor_text(cursor: Cursor) -> str:
    """The cursor as one word."""
    text = jsontext.dumps([cursor.seq, dict(cursor.runs), cursor.session_created_at])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(text: str, where: tuple[str, ...]) -> Cursor:
    """The cursor in ``text``.

    :param where: where it stands, for the words of an error.
    :raises InvalidInput: it is none of ours.
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
