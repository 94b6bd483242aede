"""Frames: bytes that every real client reads, and the short way for deltas equal to the long one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musterd.core.events import Event, EventKind
from musterd.wire.events import EventRenderer, RunIdentity
from musterd.wire.sse import PING, EventFrames, frame
from tests.support.brace_scanner import scan
from tests.unit.wire import samples

RUNS = {row.run_id: RunIdentity.of(row) for row in (samples.row(), samples.member_row())}


def renderer(**changes: Any) -> EventRenderer:
    if changes:
        return EventRenderer("s", {"r": RunIdentity.of(samples.row(run_id="r", **changes))})
    return EventRenderer("s-sync", RUNS)


def delta(run_id: str, **data: Any) -> Event:
    return Event(EventKind.CONTENT, run_id, samples.AT, data)


def test_a_frame() -> None:
    event = Event(EventKind.CONTENT_COMPLETED, samples.ROOT_ID, samples.AT)
    assert EventFrames(renderer()).frame(event, 8) == (
        b"event: TeamRunContentCompleted\nid: 8\n"
        b'data: {"created_at":1795596892,"event":"TeamRunContentCompleted","team_id":"demo-team",'
        b'"team_name":"Demo Team","run_id":"' + samples.ROOT_ID.encode() + b'","session_id":"s-sync",'
        b'"nested_depth":0,"at":1795596892.25,"event_index":8}\n\n'
    )


def test_a_frame_of_the_stream_itself_has_no_id() -> None:
    text = frame("replay", {"event": "replay", "run_id": "r"})
    assert text == b'event: replay\ndata: {"event":"replay","run_id":"r"}\n\n'


def test_a_ping_is_a_comment_without_a_brace() -> None:
    assert PING == b": ping\n\n"


@given(
    text=st.text(st.characters(codec="utf-8")),
    reasoning=st.one_of(st.none(), st.text()),
    run_id=st.sampled_from(sorted(RUNS)),
    index=st.integers(0, 10**9),
)
def test_deltas_are_what_the_renderer_says(text: str, reasoning: str | None, run_id: str, index: int) -> None:
    event = delta(run_id, text=text, reasoning=reasoning)
    name, payload = renderer().render(event, index)
    short = EventFrames(renderer()).frame(event, index)
    assert short == frame(name, payload, index)
    lines = short.decode().splitlines()  # splits where no JSON reader would, as clients do
    assert lines[:2] == [f"event: {name}", f"id: {index}"]
    assert len(lines) == 4
    assert lines[2].startswith("data: {")
    expected = json.loads(json.dumps(payload))
    if not reasoning or reasoning.isascii():
        assert json.loads(lines[2][6:]) == expected
        assert scan(short.decode()) == [expected]


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\x85b", "a\r\nb\x0b\x0c\x1c\x1d\x1e", '"}{', "100%s"])
def test_text_never_breaks_the_line(text: str) -> None:
    for frame_text in (
        EventFrames(renderer()).frame(delta(samples.ROOT_ID, text=text), 1),
        frame("A", {"event": "A", "content": text}, 1),
    ):
        line = frame_text.decode().splitlines()[2]
        assert json.loads(line.removeprefix("data: "))["content"] == text


def test_half_of_a_pair_does_not_end_the_stream() -> None:
    text = EventFrames(renderer()).frame(delta(samples.ROOT_ID, text="\ud83d"), 1)
    assert json.loads(text.decode().splitlines()[2][6:])["content"] == "?"


def test_names_and_ids_are_encoded_once_for_all_deltas() -> None:
    frames = EventFrames(renderer(component_name='50% "}{" %s ü'))
    for index in (1, 2):
        payload = json.loads(frames.frame(delta("r", text="%d"), index).decode().splitlines()[2][6:])
        assert (payload["team_name"], payload["content"]) == ('50% "}{" %s ü', "%d")
