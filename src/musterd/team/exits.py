"""User code that raises what is no Exception, such as SystemExit: it fails, and the process goes on.

In a task SystemExit and KeyboardInterrupt end the event loop, and with it every run of the process.
"""

import asyncio
from types import TracebackType

from musterd.core.failure_lines import words_of


class Interrupted(BaseException):
    """Ends a tool call whose run cannot go on now, together with its hooks: it is not theirs to catch."""


class CodeExited(Exception):
    """User code raised what is no Exception; the message is its message."""


class ExitsContained:
    """Stands around a call of user code: turns what is no Exception into :class:`CodeExited`.

    A cancel and :class:`Interrupted` pass: they are this server's own.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception | asyncio.CancelledError | Interrupted):
            raise CodeExited(words_of(error)).with_traceback(trace) from error


exits_contained = ExitsContained()
"""It has no state of its own: one for all calls."""
