"""Logs failures in user code (tools, hooks) and model providers by type and location, without their message.

The message of such an exception may quote user input or a secret, so it is logged at level ``debug`` only.
"""

import traceback
from pathlib import Path

import structlog

from musterd.core.errors import RunFailed

log = structlog.get_logger("musterd.loop")
PACKAGE_FOLDER = str(Path(__file__).parents[1])
MAX_FRAMES = 5


def log_failure(event: str, error: BaseException, *, is_over: bool = True, **context: str) -> None:
    """Log that user code or a provider failed.

    :param is_over: whether the failure is final; otherwise the call is retried.
    """
    log_line = log.warning if is_over else log.info
    log_line(event, **context, error=_error_name(error), at=_traceback_summary(error))
    log.debug(event, **context, exc_info=error)


def exception_message(error: BaseException) -> str:
    """The message of an exception from user code, or its class name if it has no message or cannot be printed."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - __str__ is user code too
        text = ""
    return text or type(error).__name__


def _error_name(error: BaseException) -> str:
    if isinstance(error, RunFailed):
        return error.code
    error_type = type(error)
    return (
        error_type.__qualname__
        if error_type.__module__ == "builtins"
        else f"{error_type.__module__}.{error_type.__qualname__}"
    )


def _traceback_summary(error: BaseException) -> str:
    """The last frames outside this package, followed by the frame that raised the exception."""
    frames = list(traceback.extract_tb(error.__traceback__))
    relevant = [frame for frame in frames[:-1] if not frame.filename.startswith(PACKAGE_FOLDER)] + frames[-1:]
    return " > ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in relevant[-MAX_FRAMES:])
