"""Names of things: an id, or its beginning. A name that fits nothing is answered with the nearest ones."""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from musterd.cli.output import ID_LENGTH
from musterd.cli.remote.command_failed import CommandFailed, ExitCode

T = TypeVar("T")

MAX_NEAREST = 3
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def look_up(
    kind: str,
    name: str,
    read: Callable[[str], T],
    recent: Callable[[], Iterable[str]],
    see: str,
    *,
    acts_at_once: bool = False,
) -> T:
    """Read a thing by its id, or by the beginning of its id.

    :param kind: what it is, in a message.
    :param read: reads it by its id.
    :param recent: the ids of the last ones; it is called if there is no such id.
    :param see: the command that lists them.
    :param acts_at_once: whether the command takes something away without a question. Then the beginning of an id that
        a caller chose is refused: ``user-1``, which is gone, is also the beginning of ``user-10``.
    :raises CommandFailed: there is none, or there are several.
    """
    from musterd.client import NotFound

    require_text(f"id of the {kind}", name)
    try:
        return read(name)
    except NotFound:
        ids = list(dict.fromkeys(recent()))
    matches = [text for text in ids if text.startswith(name)]
    if len(matches) == 1:
        if acts_at_once and not _is_shortened(name, matches[0]):
            raise CommandFailed(f'There is no {kind} "{name}". If you mean {matches[0]}, give its whole id.')
        return read(matches[0])
    if matches:
        raise CommandFailed("\n".join([f'Several {kind}s begin with "{name}":', *matches[:10]]))
    raise CommandFailed(no_such(kind, name, ids, see))


def _is_shortened(name: str, whole_id: str) -> bool:
    """Whether a name is the beginning of an id of the server's own, as tables show it."""
    return len(name) >= ID_LENGTH and _UUID.fullmatch(whole_id) is not None


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
