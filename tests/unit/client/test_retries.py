"""When the client sends a request again, and when it gives up: flows are driven by hand, without a network."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from musterd.client import (
    AnswerError,
    CannotConnect,
    ClientError,
    Conflict,
    Forbidden,
    Run,
    RunPaused,
    ServerError,
    Session,
    StillRunning,
    TooManyRequests,
    clock,
)
from musterd.client.event_stream import run_events
from musterd.client.flows import Emit, Flow, Read, Sleep, StreamFlow
from musterd.client.requests import Requests
from musterd.client.retries import LONGEST_WAIT_SECONDS, Retries
from musterd.client.run_calls import RunCalls, _wait
from musterd.client.sessions import Sessions

NOW = 1_000_000.0


class Outside:
    """What a flow needs from the outside: a clock that sleeping advances, and the outcomes that a test names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = NOW
        self.sleeps: list[float] = []
        self.requests: list[httpx2.Request] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.time)
        monkeypatch.setattr(clock, "now", lambda: self.time)
        monkeypatch.setattr(clock, "full_jitter", lambda seconds: seconds)
        self.client_requests = Requests(httpx2.Client(base_url="http://host"), retry_seconds=30)

    def drive(self, flow: Flow[Any] | StreamFlow[Any], outcomes: Iterator[Any]) -> Any:
        """Drive a flow, whose requests and reads have these outcomes in turn. Returns what it emits, or its result."""
        emitted: list[Any] = []
        outcome: Any = None
        try:
            while True:
                action = flow.send(outcome)
                outcome = None
                if isinstance(action, Sleep):
                    self.sleeps.append(action.seconds)
                    self.time += action.seconds
                elif isinstance(action, Emit):
                    emitted.append(action.item)
                else:
                    if not isinstance(action, Read):
                        self.requests.append(action.request)
                    outcome = next(outcomes)
        except StopIteration as end:
            return emitted or end.value


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    return Outside(monkeypatch)


def answer(status: int, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx2.Request("GET", "http://host/x")
    return httpx2.Response(status, headers=names, request=request, json={"detail": "Words.", "request_id": "q1"})


def answered(body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, request=httpx2.Request("GET", "http://host/x"), json=body)


def refused() -> httpx2.ConnectError:
    return httpx2.ConnectError("refused", request=httpx2.Request("GET", "http://host/x"))


@pytest.mark.parametrize("failure", [refused(), answer(502), answer(503), answer(504), answer(429)])
def test_failures_that_may_pass_are_retried_with_growing_waits(
    outside: Outside, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flow = outside.client_requests.answer("GET", "/x")
    with caplog.at_level("INFO", logger="musterd.client"):
        assert outside.drive(flow, iter([failure, failure, failure, answer(200)])).status_code == 200
    assert outside.sleeps == [0.1, 0.2, 0.4]
    assert len(outside.requests) == 4
    assert re.fullmatch(r"GET /x failed \((refused|4\d\d|5\d\d)\); trying again in 0.1 s", caplog.messages[0])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_other_failures_are_not(outside: Outside, status: int) -> None:
    with pytest.raises(AnswerError) as caught:
        outside.drive(outside.client_requests.answer("GET", "/x"), iter([answer(status)]))
    assert (caught.value.status, caught.value.detail, caught.value.request_id) == (status, "Words.", "q1")
    assert outside.sleeps == []
    assert isinstance(caught.value, Forbidden) == (status == 403)


BROKEN = httpx2.ReadError("reset", request=httpx2.Request("GET", "http://host/x"))


@pytest.mark.parametrize(
    ("failure", "is_tried_again"),
    [(refused(), True), (answer(429), True), (answer(503), False), (answer(502), False), (BROKEN, False)],
)
def test_what_must_not_happen_twice_is_tried_again_only_if_it_did_not_happen(
    outside: Outside, failure: Any, is_tried_again: bool
) -> None:
    flow = outside.client_requests.answer("POST", "/x", is_repeatable=False)
    if is_tried_again:
        assert outside.drive(flow, iter([failure, answer(200)])).status_code == 200
    else:
        with pytest.raises(ClientError):
            outside.drive(flow, iter([failure, answer(200)]))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_operation_of_any_name_may_take_long(outside: Outside, method: str) -> None:
    driver: Any = SimpleNamespace(call=lambda flow: outside.drive(flow, iter([answered({"a": 1})])))
    assert RunCalls(driver, outside.client_requests).request(method, "/optimize-memories") == {"a": 1}
    (request,) = outside.requests
    assert request.extensions["timeout"] == {"connect": 10, "read": None, "write": 30, "pool": 30}


def test_a_url_that_is_none_is_not_tried_again(outside: Outside) -> None:
    error = httpx2.UnsupportedProtocol("no http://", request=httpx2.Request("GET", "host/x"))
    with pytest.raises(CannotConnect, match="no http://"):
        outside.drive(outside.client_requests.answer("GET", "/x"), iter([error]))


def test_there_is_an_end_to_retries(outside: Outside) -> None:
    with pytest.raises(CannotConnect, match=r"does not answer GET /x: refused \(tried for 2\d s\)"):
        outside.drive(outside.client_requests.answer("GET", "/x"), iter(refused, None))
    assert 20 < outside.time - NOW <= 30
    assert max(outside.sleeps) == LONGEST_WAIT_SECONDS
    with pytest.raises(ServerError, match="was answered 503: Words"):
        outside.drive(outside.client_requests.answer("GET", "/x"), iter(lambda: answer(503), None))


SESSION = {"session_id": "mine", "user_id": "ada", "team_id": "desk", "session_state": {"a": [1]}}


def created(outside: Outside, *outcomes: Any) -> Session:
    """The session that a call creates."""
    driver: Any = SimpleNamespace(call=lambda flow: outside.drive(flow, iter(outcomes)))
    session: Session = Sessions(driver, outside.client_requests).create(
        "mine", component="desk", user_id="ada", session_state={"a": (1,)}
    )
    return session


@pytest.mark.parametrize("failure", [BROKEN, answer(502)])
def test_a_session_that_an_earlier_try_created_is_returned(outside: Outside, failure: Any) -> None:
    session = created(outside, failure, answer(409), answered(SESSION))
    assert (session.session_id, session.component_id) == ("mine", "desk")


@pytest.mark.parametrize(
    "outcomes",
    [
        [answer(409)],
        [refused(), answer(409)],
        [BROKEN, answer(409), answer(404)],
        *[
            [BROKEN, answer(409), answered({**SESSION, **other})]
            for other in (
                {"team_id": "shop"},
                {"team_id": None, "agent_id": "desk"},
                {"user_id": "ben"},
                {"session_state": {"a": [True]}},
            )
        ],
    ],
    ids=["first", "not-sent", "invisible", "component", "kind", "user", "state"],
)
def test_a_session_of_somebody_else_is_a_conflict(outside: Outside, outcomes: list[Any]) -> None:
    with pytest.raises(Conflict):
        created(outside, *outcomes)


def test_a_call_without_an_end_is_retried_more_than_a_thousand_times(outside: Outside) -> None:
    retries = Retries(math.inf, math.inf)
    waits = [retries.wait_seconds(refused()) for _ in range(1100)]
    assert set(waits[6:]) == {LONGEST_WAIT_SECONDS}


def test_the_server_says_how_long_to_wait(outside: Outside) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + 7.1, UTC), usegmt=True)
    outcomes = [answer(429, retry_after="3"), answer(503, retry_after=date), answer(503, retry_after="?"), answer(200)]
    outside.drive(outside.client_requests.answer("GET", "/x"), iter(outcomes))
    assert outside.sleeps == pytest.approx([3.1, 4.2, 0.4], abs=1)


def test_a_wait_that_is_longer_than_the_limit_is_not_begun(outside: Outside) -> None:
    with pytest.raises(TooManyRequests):
        outside.drive(outside.client_requests.answer("GET", "/x"), iter([answer(429, retry_after="31")]))
    assert outside.sleeps == []


# --- waits ----------------------------------------------------------------------------------------------------


def view(status: str) -> httpx2.Response:
    return httpx2.Response(200, json={"run_id": "r1", "session_id": "s1", "status": status})


def wait_for(outside: Outside, wait_seconds: float | None, *outcomes: Any) -> Run:
    run: Run = outside.drive(_wait(outside.client_requests, "r1", wait_seconds), iter(outcomes))
    return run


def test_a_poll_follows_the_other_until_the_run_has_settled(outside: Outside) -> None:
    run = wait_for(outside, None, view("PENDING"), view("RUNNING"), refused(), view("PAUSED"))
    assert run.status == "PAUSED"
    assert {request.url.query for request in outside.requests} == {b"wait=30.0"}
    assert outside.sleeps == [1.0, 2.0, 0.1], "a server that does not wait is not asked without a pause"


def test_a_wait_ends_in_time_also_if_the_server_is_down(outside: Outside) -> None:
    with pytest.raises(StillRunning, match="run r1 has not finished: its status is RUNNING"):
        wait_for(outside, 2.5, *[view("RUNNING")] * 9)
    assert outside.time == NOW + 2.5
    with pytest.raises(CannotConnect):
        wait_for(outside, 2.5, *[refused()] * 9)
    assert NOW + 3 < outside.time <= NOW + 5


def test_a_wait_through_pauses(outside: Outside) -> None:
    flow = _wait(outside.client_requests, "r1", None, through_pauses=True)
    run = outside.drive(flow, iter([view("PAUSED"), view("PAUSED"), view("RUNNING"), view("COMPLETED")]))
    assert run.status == "COMPLETED"
    with pytest.raises(RunPaused):
        outside.drive(_wait(outside.client_requests, "r1", 2, through_pauses=True), iter([view("PAUSED")] * 9))


# --- streams --------------------------------------------------------------------------------------------------


def opened() -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"})


def event(index: int, name: str = "RunContent") -> httpx2.ServerSentEvent:
    data = f'{{"event": "{name}", "event_index": {index}, "run_id": "r1", "nested_depth": 0}}'
    return httpx2.ServerSentEvent(name, data, str(index))


def followed(outside: Outside, *outcomes: Any) -> tuple[list[int], list[str]]:
    """The indexes of the events that came, and where each request began."""
    events = outside.drive(run_events(outside.client_requests, "r1", -1), iter(outcomes))
    begun = [last for request in outside.requests if (last := request.headers.get("last-event-id"))]
    return [one.index for one in events], begun


def test_a_stream_begins_where_the_last_one_broke(outside: Outside) -> None:
    came, begun = followed(
        outside,
        *(opened(), event(0), event(3), BROKEN),
        refused(),
        answer(503),
        *(opened(), event(3), event(4), None),  # the server stopped
        *(opened(), event(5, "RunCompleted"), None),
    )
    assert (came, begun) == ([0, 3, 4, 5], ["-1", "3", "3", "3", "4"])


def test_a_server_that_ends_streams_at_once_is_not_asked_without_a_pause(outside: Outside) -> None:
    closed = [opened(), None]
    came, _ = followed(outside, *closed, *closed, *closed, opened(), event(0, "RunCompleted"), None)
    assert (came, outside.sleeps) == ([0], [0.1, 0.2, 0.4])


def test_a_run_that_is_at_work_for_longer_than_retries_is_followed(outside: Outside) -> None:
    broken = httpx2.ReadTimeout("silent", request=httpx2.Request("GET", "http://host/x"))
    breaks = [outcome for _ in range(20) for outcome in (opened(), broken)]
    came, _ = followed(outside, *breaks, opened(), event(0, "RunCompleted"), None)
    assert came == [0]
    assert outside.time - NOW > 30


def page(status: str, *events: dict[str, Any]) -> httpx2.Response:
    ends = {"last_event_index": 9, "has_more": False, "is_final": False}
    return httpx2.Response(200, json={"status": status, "events": events, **ends})


@pytest.mark.parametrize("end", [None, BROKEN])
def test_a_stream_ends_with_a_pause_that_lasts(outside: Outside, end: httpx2.ReadError | None) -> None:
    came, _ = followed(outside, opened(), event(7, "RunPaused"), end, page("PAUSED"))
    assert came == [7]
    assert outside.requests[-1].url.query == b"after=7&limit=1"


@pytest.mark.parametrize("now", [page("RUNNING"), page("PAUSED", {"event": "RunContinued", "event_index": 8})])
@pytest.mark.parametrize("end", [None, BROKEN])
def test_a_stream_goes_on_after_a_pause_that_is_over(
    outside: Outside, end: httpx2.ReadError | None, now: httpx2.Response
) -> None:
    rest = (opened(), event(8, "RunContinued"), event(9, "RunCompleted"), end)
    came, _ = followed(outside, opened(), event(7, "RunPaused"), end, now, *rest)
    assert came == [7, 8, 9]


def test_a_stream_through_pauses_waits_for_what_follows(outside: Outside) -> None:
    rest = (opened(), event(8, "RunContinued"), event(9, "RunCompleted"), None)
    outcomes = iter((opened(), event(7, "RunPaused"), None, *rest))
    came = outside.drive(run_events(outside.client_requests, "r1", -1, through_pauses=True), outcomes)
    assert [one.index for one in came] == [7, 8, 9]
    assert [request.headers["last-event-id"] for request in outside.requests] == ["-1", "7"]


def test_a_pause_is_no_failure(outside: Outside) -> None:
    requests = Requests(httpx2.Client(base_url="http://host"), retry_seconds=0)
    again = [opened(), None] * 3
    rest = (opened(), event(8, "RunContinued"), event(9, "RunCompleted"), None)
    outcomes = iter((opened(), event(7, "RunPaused"), None, *again, *rest))
    came = outside.drive(run_events(requests, "r1", -1, through_pauses=True), outcomes)
    assert [one.index for one in came] == [7, 8, 9]
    assert outside.sleeps == [0.1, 0.2, 0.4, 0.8], "a server that does not wait is not asked without a pause"
    broken = iter((opened(), event(7, "RunPaused"), BROKEN))
    with pytest.raises(CannotConnect):
        outside.drive(run_events(requests, "r1", -1, through_pauses=True), broken)


def test_a_connection_that_breaks_after_the_end(outside: Outside) -> None:
    came, begun = followed(outside, opened(), event(0), event(1, "RunError"), BROKEN)
    assert (came, begun) == ([0, 1], ["-1"])


def test_a_page_in_place_of_a_stream(outside: Outside) -> None:
    with pytest.raises(ServerError, match="The answer is no stream of events"):
        followed(outside, httpx2.Response(200, text="<html>", request=httpx2.Request("GET", "http://host/x")))
