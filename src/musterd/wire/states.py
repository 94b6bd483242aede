"""Run states on the wire: upper-case words, in which all that waits to start is PENDING."""

from collections.abc import Iterable

from musterd.core.errors import InvalidInput
from musterd.core.states import PENDING, RunState

STATUS: dict[RunState, str] = {state: "PENDING" if state in PENDING else state.name for state in RunState}
"""The word for each state."""

_STATES: dict[str, frozenset[RunState]] = {
    word: frozenset(state for state in RunState if STATUS[state] == word) for word in dict.fromkeys(STATUS.values())
}


def status_of(state: RunState) -> str:
    """The wire's word for ``state``."""
    return STATUS[state]


def parse_status(text: str | None) -> frozenset[RunState] | None:
    """The states that a ``status`` filter asks for, in any case; None when it is absent or empty.

    :raises InvalidInput: for a word that names no state (the peer answers an empty list).
    """
    if not text:
        return None
    states = _STATES.get(text.upper())
    if states is None:
        raise InvalidInput.at(("query", "status"), "enum", f"Input should be one of {', '.join(_STATES)}", text)
    return states


def parse_statuses(texts: Iterable[str]) -> frozenset[RunState] | None:
    """The states that a repeated ``status`` filter asks for: any of them. Errors as of :func:`parse_status`."""
    found = [states for text in texts if (states := parse_status(text)) is not None]
    return frozenset().union(*found) if found else None
