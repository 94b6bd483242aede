"""What a run does now, read from the events of its attempt, for lists of runs."""

from typing import NamedTuple

from musterd.core import jsontext
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.records import RunRow


class _Call(NamedTuple):
    """A model or tool call that is under way; its fields are those of the stored activity."""

    kind: str
    run_id: str
    member: str
    tool: str | None
    since: float


_Key = tuple[str, str]
_CALL_ENDS = frozenset({EventKind.TOOL_CALL_COMPLETED, EventKind.TOOL_CALL_ERROR, EventKind.STEP_COMPLETED})
_OF_MODEL = {
    EventKind.MODEL_REQUEST_STARTED: "model",
    EventKind.MODEL_LOADING_STARTED: "loading",
    EventKind.MODEL_LOADING_COMPLETED: "model",
}
_NO_NAMES: dict[str, str] = {}  # one for all runs without members: there may be thousands


class Activity:
    """The calls that are under way in a run tree. The run's activity is the one that began last.

    A step of a workflow counts as a call: if it runs an agent, the calls of that agent begin later.

    It is told all events of an attempt, also those that an earlier attempt emitted: a replay leads it to the calls that
    the attempt makes itself.

    :param root: the root run.
    """

    __slots__ = ("_names", "_open", "_root", "_stored")

    def __init__(self, root: RunRow) -> None:
        self._root = root
        self._names = _NO_NAMES
        self._open: dict[_Key, _Call] = {}
        self._stored: _Call | None = None

    def note(self, event: Event) -> None:
        """Take in an event other than a delta."""
        kind = event.kind
        if (activity := _OF_MODEL.get(kind)) is not None:
            self._begin((event.voice, ""), self._call(activity, event))
        elif kind is EventKind.MODEL_REQUEST_COMPLETED:
            self._open.pop((event.voice, ""), None)
        elif kind is EventKind.TOOL_CALL_STARTED:
            self._begin((event.run_id, event.place), self._call("tool", event, event.data["tool"]["name"]))
        elif kind is EventKind.STEP_STARTED:
            self._begin((event.run_id, event.place), self._call("tool", event, event.data["step"]["step_name"]))
        elif kind in _CALL_ENDS:
            self._open.pop((event.run_id, event.place), None)
        elif kind is EventKind.RUN_STARTED and event.run_id != self._root.run_id:
            self._names = {**self._names, event.run_id: event.data["component_name"]}
        elif kind in END_EVENTS:
            self._end(event)
        elif kind is EventKind.RUN_CONTINUED:
            self._open.pop((event.run_id, "paused"), None)

    def note_text(self, event: Event) -> None:
        """Take in the first delta of a text."""
        call = self._open.get((event.run_id, ""))
        if call is not None and call.kind == "model":
            self._begin((event.run_id, ""), call._replace(kind="writing", since=round(event.at, 3)))

    def changed_text(self) -> str | None:
        """The activity as it is stored; None if it is the stored one."""
        # Between two calls the last one still counts: a run that is at work always shows something.
        call = next(reversed(self._open.values()), None)
        if call is None or call == self._stored:
            return None
        self._stored = call
        return jsontext.dumps(call._asdict())

    def _begin(self, key: _Key, call: _Call) -> None:
        self._open.pop(key, None)  # so that it becomes the last one
        self._open[key] = call

    def _end(self, event: Event) -> None:
        self._open = {key: call for key, call in self._open.items() if call.run_id != event.run_id}
        if event.kind is EventKind.RUN_PAUSED and event.run_id == self._root.run_id:
            requirement = event.data["requirements"][0]
            call = self._call("waiting", event, requirement["tool"]["name"])
            call = call._replace(run_id=requirement["run_id"], member=requirement["component_name"])
            self._begin((event.run_id, "paused"), call)

    def _call(self, kind: str, event: Event, tool: str | None = None) -> _Call:
        member = self._names.get(event.run_id, self._root.component_name)
        return _Call(kind, event.run_id, member, tool, round(event.at, 3))
