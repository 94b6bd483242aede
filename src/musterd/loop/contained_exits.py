"""Containment of SystemExit and similar exceptions raised by user code: the call fails, the process goes on.

A task that raises SystemExit or KeyboardInterrupt ends the event loop, and with it every run of the process.
"""

import asyncio
from types import TracebackType

from musterd.core.error_logging import exception_message


class Interrupted(BaseException):
    """Ends a tool call and its hooks if the run cannot go on now. Not an ``Exception``, so hooks do not catch it."""


class CodeExited(Exception):
    """User code raised an exception that is not an ``Exception``; the message is the original one."""


class ExitsContained:
    """A context manager around a call of user code that raises :class:`CodeExited` in place of SystemExit and the like.

    CancelledError and :class:`Interrupted` pass through: they come from the server, not from user code.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception | asyncio.CancelledError | Interrupted):
            raise CodeExited(exception_message(error)).with_traceback(trace) from error


exits_contained = ExitsContained()
"""The only instance that is needed, because it has no state."""
