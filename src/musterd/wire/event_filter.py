"""Which events of a run tree a subscriber receives, and which is the last."""

from collections.abc import Set

from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.records import ComponentKind
from musterd.wire.events import is_content_only

_FINAL = END_EVENTS - {EventKind.RUN_PAUSED}


class EventFilter:
    """Selects the events of one run tree for a subscriber. It must see every event, in order.

    :param root_id: the root of the tree.
    :param run_id: the run that the subscriber reads: the root or a member, each with the runs below it.
    :param kind: the kind of component that it is a run of.
    :param below: the ids of a member's run and of the known runs below it; None if the root is read.
    :param shows_all: whether all events are sent, or only text, events of members, and the end.
    :param is_over: whether the run had already finished or paused before the first event.
    """

    def __init__(
        self,
        root_id: str,
        run_id: str | None = None,
        *,
        kind: ComponentKind = "team",
        below: Set[str] | None = None,
        shows_all: bool = True,
        is_over: bool = False,
    ) -> None:
        self._root_id = root_id
        self._run_id = run_id or root_id
        self._kind: ComponentKind = kind
        self._below = None if below is None else set(below)
        self._shows_all = shows_all
        self.is_over = is_over

    @property
    def has_root_ended(self) -> bool:
        """Whether the subscriber reads the root, and the root is over."""
        return self.is_over and self._run_id == self._root_id

    def takes(self, event: Event) -> bool:
        """Register an event. True if the subscriber receives it."""
        self._note_end(event)
        if self._below is not None:
            if event.kind is EventKind.RUN_STARTED and event.data.get("parent_id") in self._below:
                self._below.add(event.run_id)
            if event.run_id not in self._below:
                return False
        return self._shows_all or is_content_only(event, self._run_id, self._kind)

    def _note_end(self, event: Event) -> None:
        """A paused root is over until it continues. A paused member is over only when the root pauses too."""
        if event.run_id == self._root_id:
            self.is_over = event.kind in END_EVENTS
        elif event.run_id == self._run_id:
            self.is_over = event.kind in _FINAL
