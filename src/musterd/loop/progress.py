"""Progress reports of tool calls, emitted as events to the run's subscribers."""

import asyncio
import contextlib
import copy
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import ToolContext
from musterd.loop.builtin_tools import EmitAtStep
from musterd.loop.run_tree import Services, no_services


class Reports:
    """Emits the reports of one call, from any thread. Each has its number in its place, so a replay emits none twice.

    It must be created in the event loop's thread. After :meth:`close` it emits nothing more, because a tool that was
    left running in its thread may report after its run has finished.

    :param call: the fields that identify the call in each event.
    """

    def __init__(self, emit: EmitAtStep, call: JsonObject) -> None:
        self._emit = emit
        self._call = call
        self._numbers = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_open = True
        self._tries: list[Reports] = []

    def of_try(self) -> "Reports":
        """The reports of one try of the call, which can be closed alone."""
        reports = copy.copy(self)  # with the same numbers
        reports._tries = []
        self._tries.append(reports)
        return reports

    @property
    def is_open(self) -> bool:
        """Whether reports are still emitted: the call, or the try, is not over."""
        return self._is_open

    def add(self, report: JsonObject) -> None:
        """Emit the call's next report."""
        self.emit(partial(self._add, report))

    def emit(self, emit: Callable[[], object]) -> None:
        """Call ``emit`` in the event loop's thread, unless the call is over by then."""
        if threading.get_ident() == self._thread:
            self._if_open(emit)
        else:
            # What a thread emits is scheduled ahead of the call's result, so subscribers see it first.
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so there is no subscriber left
                self._loop.call_soon_threadsafe(self._if_open, emit)

    def close(self) -> None:
        """End the call: reports that arrive later are dropped."""
        self._is_open = False
        for reports in self._tries:
            reports.close()

    def _if_open(self, emit: Callable[[], object]) -> None:
        if self._is_open:
            emit()

    def _add(self, report: JsonObject) -> None:
        self._emit(EventKind.CUSTOM, {**self._call, **report}, f"progress{next(self._numbers)}")


@dataclass(frozen=True, kw_only=True)
class CallContext(ToolContext):
    """The :class:`~musterd.declare.ToolContext` of a call that a run makes.

    :param services: the services of features, for tools of features.
    """

    reports: Reports = field(repr=False, compare=False)
    services: Services = field(default=no_services, repr=False, compare=False)

    def _report(self, report: JsonObject) -> None:
        self.reports.add(report)
