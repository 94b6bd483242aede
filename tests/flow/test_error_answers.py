"""Errors: one form for all, honest ones for a database that is away, and nothing of the inside in any of them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.store.sqlite import SqliteDatabase
from tests.support.app import Serve
from tests.support.http import House, problem, wrong_fields

SECRET = "secret of the inside"
NUL_PATHS = [
    ("GET", "/teams/a%00b"),
    ("GET", "/agents/a%00b"),
    ("POST", "/teams/a%00b/runs"),
    ("GET", "/teams/a%00b/runs?session_id=s"),
    ("GET", "/teams/demo-team/runs/a%00b?session_id=s"),
    ("GET", "/agents/weather-agent/runs/a%00b?session_id=s"),
    ("POST", "/teams/demo-team/runs/a%00b/cancel"),
    ("POST", "/agents/weather-agent/runs/a%0Ab/cancel"),
    ("GET", "/sessions/a%00b"),
    ("GET", "/sessions/a%00b/runs"),
    ("GET", "/sessions/s/runs/a%00b"),
    ("DELETE", "/sessions/a%00b"),
    ("GET", "/sessions/" + "x" * 256),
]


# --- the form -----------------------------------------------------------------------------------------


async def test_an_unknown_path(house: House) -> None:
    assert problem(await house.http.get("/nope"), 404, "NOT_FOUND") == "Not Found"
    assert problem(await house.http.post("/teams/demo-team/nope"), 404, "NOT_FOUND") == "Not Found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/teams", {"GET", "HEAD"}),
        ("PUT", "/teams/demo-team/runs", {"GET", "HEAD", "POST"}),
        ("GET", "/teams/demo-team/runs/r/cancel", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PATCH", "/sessions", {"GET", "HEAD", "POST", "DELETE"}),
    ],
)
async def test_another_method(house: House, method: str, path: str, allowed: set[str]) -> None:
    answer = await house.http.request(method, path)
    assert problem(answer, 405, "METHOD_NOT_ALLOWED") == "Method Not Allowed"
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize(("method", "path"), NUL_PATHS)
async def test_an_identifier_in_a_path(house: House, method: str, path: str) -> None:
    (place,) = wrong_fields(await house.http.request(method, path))
    assert place[0] == "path"


async def test_a_path_that_is_no_text(house: House) -> None:
    answer = await house.http.get("/teams/%ff%fe")
    assert answer.status_code in (404, 422)


# --- the request's id ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-1", "A.b:c_d-9", "x" * 128])
async def test_a_request_id_comes_back(house: House, given: str) -> None:
    answer = await house.http.get("/nope", headers={"x-request-id": given})
    problem(answer, 404, "NOT_FOUND")
    assert answer.json()["request_id"] == given
    assert (await house.http.get("/teams", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "ü", '{"a":1}'])
async def test_a_request_id_that_is_none_is_replaced(house: House, given: str) -> None:
    first = await house.http.get("/nope", headers={b"x-request-id": given.encode()})
    second = await house.http.get("/nope")
    ids = {answer.json()["request_id"] for answer in (first, second)}
    assert len(ids) == 2
    assert given not in ids


async def test_streams_and_failures_carry_it_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = await house.stream(headers={"x-request-id": "s1"})
    assert stream.response.headers["x-request-id"] == "s1"
    monkeypatch.setattr(house.server, "describe", broken)
    assert (await house.http.get("/teams", headers={"x-request-id": "f1"})).json()["request_id"] == "f1"


# --- failures of the server ---------------------------------------------------------------------------


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(SECRET)


BROKEN: dict[str, tuple[str, str, str]] = {
    "describe": ("server", "describe", "GET /teams"),
    "start": ("runs", "start", "POST /teams/demo-team/runs"),
    "settled_view": ("runs", "settled_view", "GET /teams/demo-team/runs/r?session_id=s"),
    "of_component": ("lists", "of_component", "GET /teams/demo-team/runs?session_id=s"),
    "cancel": ("runs", "cancel", "POST /teams/demo-team/runs/r/cancel"),
    "search": ("sessions", "search", "GET /sessions"),
    "view": ("sessions", "view", "GET /sessions/s"),
    "delete": ("sessions", "delete", "DELETE /sessions/s"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_failure_tells_nothing_but_its_id(house: House, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    part, name, request = BROKEN[what]
    monkeypatch.setattr(house.server if part == "server" else getattr(house.server, part), name, broken)
    method, path = request.split(" ")
    answer = await house.http.request(method, path, data={"message": "hi"} if method == "POST" else None)
    assert problem(answer, 500, "INTERNAL_SERVER_ERROR") == "Internal server error"
    assert SECRET not in answer.text
    assert "RuntimeError" not in answer.text


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_run_that_fails_inside_tells_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr("musterd.loop.context.system_prompt", broken)
    answer = await house.post(stream=stream)
    assert answer.status_code == 200
    assert SECRET not in answer.text
    assert "internal_error" in answer.text


# --- a database that is away --------------------------------------------------------------------------


def gone(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable(f"{SECRET}")


async def gone_later(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable


@pytest.fixture(params=[gone, gone_later], ids=["at once", "awaited"])
def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Take ways to the database away."""

    def take(*ways: str) -> None:
        for way in ways:
            monkeypatch.setattr(SqliteDatabase, way, request.param)

    return take


READS = [
    "/teams/demo-team/runs?session_id=s1",
    "/agents/weather-agent/runs?session_id=s1",
    "/teams/demo-team/runs/r1?session_id=s1",
    "/sessions",
    "/sessions/s1",
    "/sessions/s1/runs",
    "/sessions/s1/runs/r1",
    "/-/ready",
]


@pytest.mark.parametrize("path", READS)
async def test_reads_are_503_and_never_empty(house: House, away: Callable[..., None], path: str) -> None:
    await house.run(session_id="s1", run_id="r1")
    assert (await house.http.get(path)).status_code in (200, 404)
    away("read", "scan")
    answer = await house.http.get(path)
    problem(answer, 503, "UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("form", [{"stream": "false"}, {"stream": "true"}, {"background": "true"}])
async def test_no_run_is_accepted(house: House, monkeypatch: pytest.MonkeyPatch, form: dict[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SqliteDatabase, "write", gone)
        answer = await house.post(session_id="s1", run_id="r1", **form)
        problem(answer, 503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    assert await house.get("/teams/demo-team/runs", session_id="s1") == []
    assert (await house.run(session_id="s1", run_id="r1"))["status"] == "COMPLETED"


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/sessions/s1"), ("POST", "/teams/demo-team/runs/r1/cancel")])
async def test_writes_are_503(serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str, path: str) -> None:
    async with serve() as house:
        hold = house.model.hold("wait")
        await house.begin("wait", session_id="s1", run_id="r1")
        await hold.reached.wait()
        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "write", gone)
            answer = await house.http.request(method, path)
            problem(answer, 503, "UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
        assert (await house.get("/sessions/s1/runs"))[0]["status"] == "RUNNING"
        hold.release()


async def test_a_place_of_acceptance_is_given_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(concurrency=1) as house:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "write", gone)
            for _ in range(3):
                problem(await house.post(stream="false"), 503, "UNAVAILABLE")
        assert (await house.run())["status"] == "COMPLETED"


async def test_a_finished_run_is_not_lost_by_an_answer_that_fails(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No 5xx after acceptance sends a client that retries to a second run, where it chose the id."""
    await house.run(session_id="s1", run_id="r1")
    again = await house.run(session_id="s1", run_id="r1")
    assert again["attempts"] == 1
    assert len(await house.get("/sessions/s1/runs")) == 1


# --- health -------------------------------------------------------------------------------------------


async def test_health_is_200_only_while_runs_can_be_accepted(house: House) -> None:
    assert set(await house.get("/health")) == {"status", "instantiated_at"}
    ready = await house.get("/-/ready")
    assert ready["status"] == "ready"
    assert set(ready["checks"].values()) == {"ok"}
    house.server.begin_stop()
    for path in ("/health", "/-/ready"):
        answer = await house.http.get(path)
        problem(answer, 503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    answer = await house.post(stream="false")
    problem(answer, 503, "UNAVAILABLE")
    assert await house.get("/-/live") == {"status": "live"}


async def test_no_run_before_the_start(serve: Serve) -> None:
    async with serve() as house:
        house.server.engine.is_ready = False
        for answer in (await house.http.get("/health"), await house.post(stream="false")):
            problem(answer, 503, "UNAVAILABLE")
        house.server.engine.is_ready = True


async def test_too_many_waiting_runs(serve: Serve) -> None:
    async with serve(queue_depth=1) as house:
        hold = house.model.hold("wait")
        first = await house.begin("wait", session_id="s1")
        await hold.reached.wait()
        await house.begin("hello", session_id="s1")
        answer = await house.post("hello", session_id="s1", stream="false")
        problem(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) > 0
        hold.release()
        await house.ended(first)


# --- clients that go away -------------------------------------------------------------------------------


async def test_a_client_that_goes_away_in_its_request_is_no_failure(
    serve_live: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"message=hello"
        raise ConnectionAbortedError

    async with serve_live() as house:
        with pytest.raises(ConnectionAbortedError):
            await house.http.post(
                "/teams/demo-team/runs",
                content=pieces(),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
        assert (await house.get("/sessions"))["data"] == []
    assert "request failed" not in capsys.readouterr().out
