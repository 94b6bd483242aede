"""When a run gets its turn: what it does about a busy session, how urgent it is, when it may begin and must end."""

from dataclasses import dataclass
from enum import StrEnum

from musterd.core.jsontypes import JsonObject


class OnBusy(StrEnum):
    """What a new run does while another run of its session is at work."""

    ENQUEUE = "enqueue"  # waits behind those that were accepted before it
    REJECT = "reject"  # is refused
    INTERRUPT = "interrupt"  # has the one at work cancelled, and comes before those that wait
    PARALLEL = "parallel"  # runs beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a request says of its run's turn; None where it says nothing.

    :param on_busy: else as its component declares.
    :param priority: among runs that are ready, the higher come first; within a session it changes nothing.
    :param delay_seconds: how long after its acceptance it joins its session's line.
    :param timeout_seconds: how long after its acceptance it must have ended.
    """

    on_busy: OnBusy | None = None
    priority: int | None = None
    delay_seconds: float | None = None
    timeout_seconds: float | None = None

    def as_json(self) -> JsonObject:
        """What was said, as a JSON object."""
        given = {name: getattr(self, name) for name in self.__slots__}
        if self.on_busy is not None:
            given["on_busy"] = self.on_busy.value
        return {name: value for name, value in given.items() if value is not None}
