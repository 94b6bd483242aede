"""What a log line says of a failure in others' code: of what kind it is and where, never in its own words.

An exception of a tool, a hook or a provider may quote what users said, or a secret; its words are for ``debug`` alone.
"""

import traceback
from pathlib import Path

import structlog

import musterd
from musterd.core.errors import RunFailed

log = structlog.get_logger("musterd.team")
OURS = str(Path(musterd.__file__).parent)
SHOWN_FRAMES = 5


def tell_failure(event: str, error: BaseException, *, is_over: bool = True, **about: str) -> None:
    """Log that others' code failed.

    :param is_over: whether that is what came of it; else it is tried again.
    """
    tell = log.warning if is_over else log.info
    tell(event, **about, error=_kind(error), at=_place(error))
    log.debug(event, **about, exc_info=error)


def _kind(error: BaseException) -> str:
    if isinstance(error, RunFailed):
        return error.code
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _place(error: BaseException) -> str:
    """The last frames behind our own: where it was raised comes last."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(OURS)] or frames
    return " > ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in theirs[-SHOWN_FRAMES:])
