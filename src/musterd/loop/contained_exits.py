"""User code that raises SystemExit, or another exception that is no ``Exception``: the call fails, the process goes on.

If a task raises SystemExit or KeyboardInterrupt, it ends the event loop, and with it every run of the process.
"""

import asyncio
from types import TracebackType

from musterd.core.error_logging import words_of


class Interrupted(BaseException):
    """Ends a tool call whose run cannot go on now, together with its hooks: it is not theirs to catch."""


class CodeExited(Exception):
    """User code raised an exception that is no ``Exception``; the message is the same."""


class ExitsContained:
    """A context manager around a call of user code: it raises :class:`CodeExited` in place of SystemExit and the like.

    A cancel and :class:`Interrupted` pass: this server raises them.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception | asyncio.CancelledError | Interrupted):
            raise CodeExited(words_of(error)).with_traceback(trace) from error


exits_contained = ExitsContained()
"""The one instance: it has no state."""
