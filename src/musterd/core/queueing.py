"""Queueing options of a run: behaviour in a busy session, priority, delay and deadline."""

from dataclasses import dataclass
from enum import StrEnum

from musterd.core.jsontypes import JsonObject


class OnBusy(StrEnum):
    """What a new run does while another run of its session is active."""

    ENQUEUE = "enqueue"  # wait for the runs that were accepted before it
    REJECT = "reject"  # reject the new run
    INTERRUPT = "interrupt"  # cancel the active run, and go ahead of the waiting ones
    PARALLEL = "parallel"  # run at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueingOptions:
    """The queueing options that a request sets; None for those that it does not set.

    :param on_busy: default: as the component declares.
    :param priority: ready runs with a higher priority are claimed first. It does not change the order in a session.
    :param delay_seconds: how long after its acceptance the run joins the queue of its session.
    :param timeout_seconds: how long after its acceptance the run must have finished.
    """

    on_busy: OnBusy | None = None
    priority: int | None = None
    delay_seconds: float | None = None
    timeout_seconds: float | None = None

    def as_json(self) -> JsonObject:
        """The options that are set, as a JSON object."""
        options = {name: getattr(self, name) for name in self.__slots__}
        if self.on_busy is not None:
            options["on_busy"] = self.on_busy.value
        return {name: value for name, value in options.items() if value is not None}
