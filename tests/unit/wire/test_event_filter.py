"""What of a run tree a reader is shown, and when the last has come."""

from typing import Any

from musterd.core.events import Event, EventKind
from musterd.wire.event_filter import EventFilter

START, TEXT, PAUSE, GO_ON, END = (
    EventKind.RUN_STARTED,
    EventKind.CONTENT,
    EventKind.RUN_PAUSED,
    EventKind.RUN_CONTINUED,
    EventKind.RUN_COMPLETED,
)


def takes(event_filter: EventFilter, *events: tuple[EventKind, str] | tuple[EventKind, str, str]) -> list[bool]:
    """Whether each event is shown; a third word is the run that the run of a start belongs to."""
    results = []
    for kind, run_id, *parent in events:
        data: dict[str, Any] = {"parent_id": parent[0]} if parent else {}
        results.append(event_filter.takes(Event(kind, run_id, 1.0, data)))
    return results


def test_the_root_is_over_at_its_pause_until_it_goes_on() -> None:
    event_filter = EventFilter("r")
    for event, is_over in (((START, "r"), False), ((END, "m"), False), ((PAUSE, "r"), True), ((GO_ON, "r"), False)):
        assert takes(event_filter, event) == [True]
        assert event_filter.is_over is is_over
    assert (takes(event_filter, (END, "r")), event_filter.is_over, event_filter.has_root_ended) == ([True], True, True)


def test_a_member_is_shown_with_those_below_it() -> None:
    event_filter = EventFilter("r", "m", below={"m"})
    events = (START, "r"), (START, "m", "r"), (START, "o", "r"), (START, "d", "m"), (TEXT, "d"), (TEXT, "o"), (END, "d")
    assert takes(event_filter, *events) == [False, True, False, True, True, False, True]
    assert not event_filter.is_over
    assert takes(event_filter, (END, "m")) == [True]
    assert (event_filter.is_over, event_filter.has_root_ended) == (True, False)


def test_a_member_that_waits_for_a_person_is_read_until_the_root_waits_too() -> None:
    event_filter = EventFilter("r", "m", below={"m"})
    assert (takes(event_filter, (PAUSE, "m"), (TEXT, "r")), event_filter.is_over) == ([True, False], False)
    assert (takes(event_filter, (PAUSE, "r")), event_filter.is_over) == ([False], True)
    assert (takes(event_filter, (GO_ON, "r")), event_filter.is_over) == ([False], False)


def test_text_alone_is_the_text_of_the_run_that_is_read() -> None:
    events = (START, "m"), (TEXT, "m"), (START, "d", "m"), (END, "m")
    assert takes(EventFilter("r", "m", below={"m"}, shows_all=False), *events) == [False, True, True, True]
    assert takes(EventFilter("r", shows_all=False), (START, "r"), (TEXT, "r"), (START, "m", "r"), (END, "r")) == [
        False,
        True,
        True,
        True,
    ]
