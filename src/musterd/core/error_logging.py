"""What a log line says of a failure in others' code: of what kind it is and where, never in its own words.

An exception of a tool, a hook or a provider may quote what users said, or a secret; its words are for ``debug`` alone.
"""

import traceback
from pathlib import Path

import structlog

from musterd.core.errors import RunFailed

log = structlog.get_logger("musterd.loop")
OURS = str(Path(__file__).parents[1])
SHOWN_FRAMES = 5


def log_failure(event: str, error: BaseException, *, is_over: bool = True, **about: str) -> None:
    """Log that others' code failed.

    :param is_over: whether that is what came of it; else it is tried again.
    """
    tell = log.warning if is_over else log.info
    tell(event, **about, error=_kind(error), at=_place(error))
    log.debug(event, **about, exc_info=error)


def words_of(error: BaseException) -> str:
    """The message of an exception of others' code, or the name of its class if it has none or cannot be printed."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - __str__ is others' code too
        text = ""
    return text or type(error).__name__


def _kind(error: BaseException) -> str:
    if isinstance(error, RunFailed):
        return error.code
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _place(error: BaseException) -> str:
    """The last frames that are not our own, and last where it was raised, whosever that is."""
    frames = list(traceback.extract_tb(error.__traceback__))
    shown = [frame for frame in frames[:-1] if not frame.filename.startswith(OURS)] + frames[-1:]
    return " > ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in shown[-SHOWN_FRAMES:])
