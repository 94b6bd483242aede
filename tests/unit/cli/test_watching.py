"""Runs that cannot be followed to their end, or are decided at the moment of a pause."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from musterd.cli.main import main
from musterd.cli.remote import following
from musterd.cli.remote.outage import Outage
from musterd.cli.remote.questions import Questions
from musterd.cli.remote.screens import LineScreen
from musterd.client import Client, Run
from musterd.client import clock as client_clock
from tests.unit.cli.conftest import Respond

RUN = {"run_id": "r1", "session_id": "s1", "team_id": "desk", "status": "RUNNING"}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_refusal_is_no_failure_of_the_run(
    status: int,
    options: list[str],
    respond_with: Callable[[Respond], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        is_stream = request.url.path.endswith("/events")
        return httpx2.Response(status, json={"detail": "Words."}) if is_stream else httpx2.Response(200, json=RUN)

    respond_with(respond)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0)
    assert main(["runs", "watch", "r1", *options]) == 4
    assert "musterd: Words" in capsys.readouterr().err


def stream_of(*events: dict[str, Any]) -> httpx2.Response:
    lines = (f"id: {event['event_index']}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content="".join(lines))


def event(index: int, name: str) -> dict[str, Any]:
    return {"event": name, "event_index": index, "run_id": "r1", "session_id": "s1", "nested_depth": 0, "created_at": 1}


EVENTS = [event(0, "RunStarted"), event(1, "RunPaused"), event(2, "RunContinued"), event(3, "RunCompleted")]


@pytest.mark.parametrize("next_states", [["COMPLETED"], ["RUNNING", "COMPLETED"], ["PAUSED", "COMPLETED"]])
def test_events_after_a_decision_at_the_end_of_the_stream_are_not_lost(
    next_states: list[str], respond_with: Callable[[Respond], None], capsys: pytest.CaptureFixture[str]
) -> None:
    states = iter(["RUNNING", *next_states])

    def respond(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/events"):
            return httpx2.Response(200, json={**RUN, "status": next(states, "COMPLETED")})
        if "text/event-stream" in request.headers["accept"]:
            after = int(request.headers["last-event-id"])
            return stream_of(*(EVENTS[:2] if after < 0 else EVENTS[after + 1 :]))
        query = request.url.params
        # The client asks for one event after the pause: none is there yet. The command asks for all.
        events = [] if query["limit"] == "1" else EVENTS[int(query["after"]) + 1 :]
        state = {"status": "PAUSED", "last_event_index": 3, "has_more": False, "is_final": False}
        return httpx2.Response(200, json={"events": events, **state})

    respond_with(respond)
    assert main(["runs", "watch", "r1", "--json"]) == 0
    assert [json.loads(line)["event_index"] for line in capsys.readouterr().out.splitlines()] == [0, 1, 2, 3]


class RecordingScreen(LineScreen):
    """A screen that tells whether it is shown."""

    def __init__(self) -> None:
        super().__init__(Outage(), silence_seconds=60)
        self.is_on = False

    def start(self) -> None:
        """Begin."""
        self.is_on = True

    def stop(self) -> None:
        """End."""
        self.is_on = False


def test_a_decision_is_sent_below_a_screen_that_says_if_the_server_is_away(
    respond_with: Callable[[Respond], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_clock, "block", lambda _seconds: None)
    screen, sent = RecordingScreen(), list[tuple[str, bool]]()
    waiting = {"id": "q1", "kind": "confirmation", "tool_execution": {"tool_name": "pay", "tool_args": {"n": 1}}}
    runs = iter([{**RUN, "status": "PAUSED", "requirements": [waiting]}, {**RUN, "status": "COMPLETED"}])

    def respond(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            sent.append((request.url.path, screen.is_on))
            if len(sent) < 3:
                raise httpx2.ConnectError("refused", request=request)
            return httpx2.Response(200, json=RUN)
        if request.url.path.endswith("/events"):
            if "text/event-stream" not in request.headers["accept"]:  # is there one after the pause?
                state = {"status": "PAUSED", "last_event_index": 1, "has_more": False, "is_final": False}
                return httpx2.Response(200, json={"events": [], **state})
            return stream_of(*(EVENTS[:2] if "-1" in request.headers["last-event-id"] else EVENTS[2:]))
        return httpx2.Response(200, json=next(runs))

    def answer(_prompt: str) -> str:
        assert not screen.is_on, "a drawing would hide the question"
        return "y"

    respond_with(respond)
    with Client("http://host") as client:
        settled = following.follow(client, Run.of(RUN), screen, Questions(answer))
    assert settled.status == "COMPLETED"
    assert sent == [("/runs/r1/continue", True)] * 3
