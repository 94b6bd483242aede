"""Names of things: an id, or its beginning. A name that fits nothing is answered with the nearest ones.

A command that takes something away at once could take away the wrong thing: the session ``user-1``, which is gone, is
also the beginning of ``user-10``. It accepts beginnings as tables show them, of ids that the server made. Other
beginnings need a person who confirms them.
"""

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from musterd.cli.output import ID_LENGTH
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.questions import can_ask

T = TypeVar("T")

MAX_NEAREST = 3
MAX_MATCHES = 10
_BEGINNING = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}[0-9a-f-]{{0,27}}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def look_up(
    kind: str,
    name: str,
    read: Callable[[str], T],
    recent: Callable[[], Iterable[str]],
    see: str,
    *,
    acts_at_once: bool = False,
    may_ask: bool = False,
) -> T:
    """Read a thing by its id, or by the beginning of its id.

    :param kind: what it is, in a message.
    :param read: reads it by its id.
    :param recent: the ids of the last ones; it is called if there is no such id.
    :param see: the command that lists them.
    :param acts_at_once: whether the command takes something away without a question.
    :param may_ask: whether a person in a terminal may be asked if a match is meant, in place of a refusal.
    :raises CommandFailed: there is none, or there are several.
    """
    from musterd.client import NotFound

    require_text(f"id of the {kind}", name)
    try:
        return read(name)
    except NotFound:
        ids = list(dict.fromkeys(recent()))
    match = only_match(kind, name, ids)
    if match is None:
        raise CommandFailed(no_such(kind, name, ids, see))
    if acts_at_once and not _is_safe(name, match):
        if not (may_ask and can_ask()):
            enough = f", or at least its first {ID_LENGTH} characters" if _UUID.fullmatch(match) else ""
            raise CommandFailed(f'There is no {kind} "{name}". If you mean {match}, give its whole id{enough}.')
        if not person_agrees(f'There is no {kind} "{name}". Do you mean {match}?'):
            raise CommandFailed("Nothing was changed.")
    return read(match)


def only_match(kind: str, name: str, ids: Sequence[str]) -> str | None:
    """The id that begins with a name; None if there is none.

    :raises CommandFailed: there are several.
    """
    matches = [text for text in ids if text.startswith(name)]
    if len(matches) > 1:
        rest = len(matches) - MAX_MATCHES
        more = [f"and {rest} more"] if rest > 0 else []
        lines = [f'Several {kind}s begin with "{name}". Give more of the id:', *matches[:MAX_MATCHES], *more]
        raise CommandFailed("\n".join(lines), ExitCode.USAGE)
    return matches[0] if matches else None


def is_server_id_prefix(name: str) -> bool:
    """Whether a name may be the beginning of an id that the server made, as long as tables show it."""
    return _BEGINNING.fullmatch(name) is not None and _UUID.fullmatch(name) is None


def _is_safe(name: str, whole_id: str) -> bool:
    """Whether a name cannot be the whole id of something else that is gone."""
    return is_server_id_prefix(name) and _UUID.fullmatch(whole_id) is not None


def person_agrees(question: str) -> bool:
    """Ask a person, who has to say yes."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def require_text(what: str, text: str) -> None:
    """Refuse an empty argument, such as that of a shell variable that is not set.

    :param what: its name in the message.
    :raises CommandFailed: it is empty.
    """
    if not text:
        raise CommandFailed(f"The {what} is empty.", ExitCode.USAGE)


def no_such(kind: str, name: str, names: Iterable[str], see: str) -> str:
    """There is no such thing: the nearest ones, or how to list them."""
    nearest = difflib.get_close_matches(name, list(names), n=MAX_NEAREST, cutoff=0.5)
    hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"List them with: {see}"
    return f'There is no {kind} "{name}". {hint}'
