"""Runs that cannot be followed to their end, or are decided at the moment of a pause."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from musterd.cli.main import main
from musterd.cli.remote import following
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
