"""The status of a run: its state in capitals, and PENDING for each state in which it waits to start."""

from collections.abc import Iterable
from typing import Literal

from typing_extensions import TypeAliasType

from musterd.core.errors import InvalidInput
from musterd.core.states import RunState

RunStatus = TypeAliasType("RunStatus", Literal["PENDING", "RUNNING", "PAUSED", "COMPLETED", "ERROR", "CANCELLED"])

STATUS: dict[RunState, RunStatus] = {
    RunState.SCHEDULED: "PENDING",
    RunState.QUEUED: "PENDING",
    RunState.READY: "PENDING",
    RunState.RUNNING: "RUNNING",
    RunState.PAUSED: "PAUSED",
    RunState.COMPLETED: "COMPLETED",
    RunState.ERROR: "ERROR",
    RunState.CANCELLED: "CANCELLED",
}
STATUSES = tuple(dict.fromkeys(STATUS.values()))

_STATES: dict[str, frozenset[RunState]] = {
    status: frozenset(state for state in RunState if STATUS[state] == status) for status in STATUSES
}


def parse_status(text: str | None) -> frozenset[RunState] | None:
    """The states with the status ``text``, in any case. None if the filter is absent or empty.

    :raises InvalidInput: there is no such status. (AgentOS returns an empty list.)
    """
    if not text:
        return None
    states = _STATES.get(text.upper())
    if states is None:
        raise InvalidInput.at(("query", "status"), "enum", f"Input should be one of {', '.join(STATUSES)}", text)
    return states


def parse_statuses(texts: Iterable[str]) -> frozenset[RunState] | None:
    """The states with any of the statuses ``texts``. Otherwise like :func:`parse_status`."""
    filters = [states for text in texts if (states := parse_status(text)) is not None]
    return frozenset().union(*filters) if filters else None
