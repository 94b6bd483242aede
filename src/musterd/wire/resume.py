"""What a reader that comes back is told beside the events: fields of AgentOS's ``/resume``.

These are no events of the run: they have no ``event_index``, and no ``id``.
"""

from musterd.core.jsontypes import JsonObject
from musterd.core.states import RunState
from musterd.wire.states import STATUS


def catch_up(run_id: str, state: RunState, missed: int, total: int) -> JsonObject:
    """The run is at work; what was missed comes next.

    :param missed: how many events follow before the live ones.
    :param total: how many there are so far.
    """
    return {
        "event": "catch_up",
        "run_id": run_id,
        "status": STATUS[state].lower(),
        "missed_events": missed,
        "current_event_count": total,
        "message": f"Catching up on {missed} missed events.",
    }


def subscribed(run_id: str, state: RunState, total: int) -> JsonObject:
    """What was missed has come; what follows is live."""
    return {
        "event": "subscribed",
        "run_id": run_id,
        "status": STATUS[state].lower(),
        "current_event_count": total,
        "message": "Subscribed to the run. Live events follow.",
    }


def replay(run_id: str, state: RunState, missed: int, total: int, after: int) -> JsonObject:
    """The run has ended or waits for a person; what was missed comes next, and nothing else.

    :param after: the index of the last event that the reader has; -1: none.
    """
    word = STATUS[state]
    return {
        "event": "replay",
        "run_id": run_id,
        "status": word,
        "total_events": missed,
        "total_buffered": total,
        "last_event_index_requested": after,
        "message": f"Run {word}. Replaying {missed} missed events (of {total} total).",
    }
