"""From which event index on the text of a run is void.

If a model call is cut off, or its text is withdrawn, a later event says in ``superseded`` whose text is void. Clients
then drop what they received of that run since the index that this module adds: the start of the model call.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject


class ModelCallStart(NamedTuple):
    """Where the events of a model call begin: the path of its step, and the index of its first event."""

    path: str
    event_index: int


ModelCallStarts = dict[str, list[ModelCallStart]]
"""The model calls whose start was emitted, by the run under whose id their text appears."""


def note_model_calls(starts: ModelCallStarts, events: Iterable[tuple[int, Event]]) -> None:
    """Add the model calls that begin among these events, each of which comes with its index."""
    for index, event in events:
        if event.kind is EventKind.MODEL_REQUEST_STARTED:
            starts.setdefault(event.voice, []).append(ModelCallStart(event.place, index))


def add_void_indexes(starts: ModelCallStarts, events: Iterable[tuple[int, Event]]) -> None:
    """Add ``from_event_index`` to each item of ``superseded`` in these events. ``starts`` is not changed.

    :param starts: the model calls before these events.
    """
    # A copy, because this is called inside a transaction that may be retried. The outbox notes the calls after the
    # commit.
    starts_so_far = {run_id: list(calls) for run_id, calls in starts.items()}
    for index, event in events:
        note_model_calls(starts_so_far, [(index, event)])
        for item in event.data.get("superseded", ()):
            # Recovery has set it for streams that a crash cut off: it knows where their text began.
            item.setdefault("from_event_index", _void_from(starts_so_far.get(item["run_id"], ()), index, event, item))


def _void_from(calls: Sequence[ModelCallStart], index: int, event: Event, item: JsonObject) -> int:
    """The index from which on text is void: since the last model call, or all of a member whose text is no answer."""
    if event.data.get("reason") in ("member_failed", "hook_changed", "answer_invalid"):
        return next((call.event_index for call in calls if call.path.startswith(f"{item['path']}/")), index)
    return calls[-1].event_index if calls else 0
