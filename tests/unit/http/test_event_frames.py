"""The frames of a run's events: a long event is written in a thread, and only the members that it shows are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from musterd.core.events import Event, EventKind
from musterd.core.records import RunRow, RunView
from musterd.engine.broadcaster import Flush
from musterd.http.event_frames import RunFrames
from musterd.service.runs import RunService
from musterd.wire.events import EventRenderer, RunIdentity
from musterd.wire.sse import EventFrames, json_of
from tests.support.cpu_time import cpu_at_most
from tests.unit.wire import samples

TEXT = "\u2028 text of a member, ü \x85 " * 40_000


@dataclass
class FakeRuns:
    """A tree of runs, and the ids of those that were read."""

    views: dict[str, RunView]
    read_ids: list[str] = field(default_factory=list)

    @property
    def following(self) -> Any:
        async def events_with_contents(root: RunRow, flush: Flush) -> Sequence[Event]:
            return flush.events

        return SimpleNamespace(events_with_contents=events_with_contents)

    async def members_by_ids(self, root: RunRow, run_ids: Sequence[str]) -> list[RunView]:
        self.read_ids += run_ids
        return [self.views[run_id] for run_id in run_ids]


def member(run_id: str, text: str) -> RunView:
    view = samples.member_view()
    return replace(view, row=samples.member_row(run_id=run_id), output=samples.output(text), characters=len(text))


def end(*members: str, text: str = "done") -> Event:
    data = {"output": samples.output(text).as_json(), "members": list(members)}
    return Event(EventKind.RUN_COMPLETED, samples.ROOT_ID, samples.AT, data)


async def frames_of(runs: FakeRuns, *events: Event) -> Sequence[bytes]:
    return await RunFrames(cast(RunService, runs), samples.row()).of(Flush(0, list(events)))


def whole_frame(event: Event, *members: RunView) -> bytes:
    root = samples.row()
    renderer = EventRenderer(root.session_id, {root.run_id: RunIdentity.of(root)})
    return EventFrames(renderer).frame(event, 0, members)


async def test_a_long_event_is_the_same_as_a_short_one() -> None:
    views = {name: member(name, TEXT) for name in ("m1", "m2")}
    (frame,) = await frames_of(FakeRuns(views), end("m1", "m2"))
    assert frame == whole_frame(end("m1", "m2"), *views.values())
    assert len(frame.decode().splitlines()) == 4
    assert json_of(frame).startswith(b'{"created_at"')


async def test_a_long_event_takes_no_time_of_the_event_loop() -> None:
    views = {f"m{number}": member(f"m{number}", TEXT) for number in range(20)}
    event = end(*views, text=TEXT)
    with cpu_at_most(0.1):  # the event loop wrote it itself, and needed longer
        (frame,) = await frames_of(FakeRuns(views), event)
    assert len(frame) > 20 * len(TEXT)


async def test_only_the_members_that_an_event_shows_are_read() -> None:
    runs = FakeRuns({name: member(name, "short") for name in ("m1", "m2", "m3")})
    first, second = await frames_of(runs, end("m2"), end())
    assert (runs.read_ids, first.count(b'"run_id":"m2"'), b"m1" in first) == (["m2"], 1, False)
    assert b"member_responses" not in second
