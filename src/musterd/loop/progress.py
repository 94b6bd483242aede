"""What a tool tells while it works, on its way to the run's readers."""

import asyncio
import contextlib
import itertools
import threading
from dataclasses import dataclass, field

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import ToolContext
from musterd.loop.builtin_tools import Tell


class Reports:
    """Takes the reports of one call, from whichever thread, and tells each once: its number is its place.

    Made in the loop's thread. After :meth:`close` it tells nothing more: a tool that was left in its thread has no
    run to tell of.

    :param call: what each event names of the call.
    """

    def __init__(self, tell: Tell, call: JsonObject) -> None:
        self._tell = tell
        self._call = call
        self._numbers = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_open = True

    def add(self, report: JsonObject) -> None:
        """Tell the call's next report."""
        if threading.get_ident() == self._thread:
            self._add(report)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has gone, and all readers with it
                self._loop.call_soon_threadsafe(self._add, report)

    def close(self) -> None:
        """The call is over."""
        self._is_open = False

    def _add(self, report: JsonObject) -> None:
        if self._is_open:
            self._tell(EventKind.CUSTOM, {**self._call, **report}, f"progress{next(self._numbers)}")


@dataclass(frozen=True, kw_only=True)
class CallContext(ToolContext):
    """The context of a call that a run makes."""

    reports: Reports = field(repr=False, compare=False)

    def _told(self, report: JsonObject) -> None:
        self.reports.add(report)
