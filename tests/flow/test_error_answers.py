"""Errors: one form for all, honest ones for a database that is away, and nothing of the inside in any of them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.store.sqlite import SqliteDatabase
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields

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


async def test_an_unknown_path(client: ServerClient) -> None:
    assert problem(await client.http.get("/nope"), 404, "NOT_FOUND") == "Not Found"
    assert problem(await client.http.post("/teams/demo-team/nope"), 404, "NOT_FOUND") == "Not Found"


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
async def test_another_method(client: ServerClient, method: str, path: str, allowed: set[str]) -> None:
    answer = await client.http.request(method, path)
    assert problem(answer, 405, "METHOD_NOT_ALLOWED") == "Method Not Allowed"
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize(("method", "path"), NUL_PATHS)
async def test_an_identifier_in_a_path(client: ServerClient, method: str, path: str) -> None:
    (place,) = wrong_fields(await client.http.request(method, path))
    assert place[0] == "path"


async def test_a_path_that_is_no_text(client: ServerClient) -> None:
    answer = await client.http.get("/teams/%ff%fe")
    assert answer.status_code in (404, 422)


# --- the request's id ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_id", ["abc-1", "A.b:c_d-9", "x" * 128])
async def test_a_request_id_comes_back(client: ServerClient, request_id: str) -> None:
    answer = await client.http.get("/nope", headers={"x-request-id": request_id})
    problem(answer, 404, "NOT_FOUND")
    assert answer.json()["request_id"] == request_id
    assert (await client.http.get("/teams", headers={"x-request-id": request_id})).headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "<script>", "ü", '{"a":1}'])
async def test_a_request_id_that_is_none_is_replaced(client: ServerClient, request_id: str) -> None:
    first = await client.http.get("/nope", headers={b"x-request-id": request_id.encode()})
    second = await client.http.get("/nope")
    ids = {answer.json()["request_id"] for answer in (first, second)}
    assert len(ids) == 2
    assert request_id not in ids


async def test_streams_and_failures_carry_it_too(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = await client.stream(headers={"x-request-id": "s1"})
    assert stream.response.headers["x-request-id"] == "s1"
    monkeypatch.setattr(client.server, "describe", broken)
    assert (await client.http.get("/teams", headers={"x-request-id": "f1"})).json()["request_id"] == "f1"


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
async def test_a_failure_tells_nothing_but_its_id(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    part, name, request = BROKEN[what]
    monkeypatch.setattr(client.server if part == "server" else getattr(client.server, part), name, broken)
    method, path = request.split(" ")
    answer = await client.http.request(method, path, data={"message": "hi"} if method == "POST" else None)
    assert problem(answer, 500, "INTERNAL_SERVER_ERROR") == "Internal server error"
    assert SECRET not in answer.text
    assert "RuntimeError" not in answer.text


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_run_that_fails_inside_tells_nothing(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr("musterd.loop.context.system_prompt", broken)
    answer = await client.post(stream=stream)
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
async def test_reads_are_503_and_never_empty(client: ServerClient, away: Callable[..., None], path: str) -> None:
    await client.run(session_id="s1", run_id="r1")
    assert (await client.http.get(path)).status_code in (200, 404)
    away("read", "scan")
    answer = await client.http.get(path)
    problem(answer, 503, "UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("form", [{"stream": "false"}, {"stream": "true"}, {"background": "true"}])
async def test_no_run_is_accepted(client: ServerClient, monkeypatch: pytest.MonkeyPatch, form: dict[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SqliteDatabase, "write", gone)
        answer = await client.post(session_id="s1", run_id="r1", **form)
        problem(answer, 503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    assert await client.get("/teams/demo-team/runs", session_id="s1") == []
    assert (await client.run(session_id="s1", run_id="r1"))["status"] == "COMPLETED"


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/sessions/s1"), ("POST", "/teams/demo-team/runs/r1/cancel")])
async def test_writes_are_503(serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str, path: str) -> None:
    async with serve() as client:
        hold = client.model.hold("wait")
        await client.begin("wait", session_id="s1", run_id="r1")
        await hold.reached.wait()
        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "write", gone)
            answer = await client.http.request(method, path)
            problem(answer, 503, "UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/sessions/s1/runs"))[0]["status"] == "RUNNING"
        hold.release()


async def test_a_place_of_acceptance_is_given_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(concurrency=1) as client:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteDatabase, "write", gone)
            for _ in range(3):
                problem(await client.post(stream="false"), 503, "UNAVAILABLE")
        assert (await client.run())["status"] == "COMPLETED"


async def test_a_finished_run_is_not_lost_by_an_answer_that_fails(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No 5xx after acceptance sends a client that retries to a second run, where it chose the id."""
    await client.run(session_id="s1", run_id="r1")
    again = await client.run(session_id="s1", run_id="r1")
    assert again["attempts"] == 1
    assert len(await client.get("/sessions/s1/runs")) == 1


# --- health -------------------------------------------------------------------------------------------


async def test_health_is_200_only_while_runs_can_be_accepted(client: ServerClient) -> None:
    assert set(await client.get("/health")) == {"status", "instantiated_at"}
    ready = await client.get("/-/ready")
    assert ready["status"] == "ready"
    assert set(ready["checks"].values()) == {"ok"}
    client.server.begin_stop()
    for path in ("/health", "/-/ready"):
        answer = await client.http.get(path)
        problem(answer, 503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    answer = await client.post(stream="false")
    problem(answer, 503, "UNAVAILABLE")
    assert await client.get("/-/live") == {"status": "live"}


async def test_no_run_before_the_start(serve: Serve) -> None:
    async with serve() as client:
        client.server.worker.is_ready = False
        for answer in (await client.http.get("/health"), await client.post(stream="false")):
            problem(answer, 503, "UNAVAILABLE")
        client.server.worker.is_ready = True


async def test_too_many_waiting_runs(serve: Serve) -> None:
    async with serve(queue_depth=1) as client:
        hold = client.model.hold("wait")
        first = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        await client.begin("hello", session_id="s1")
        answer = await client.post("hello", session_id="s1", stream="false")
        problem(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) > 0
        hold.release()
        await client.ended(first)


# --- clients that go away -------------------------------------------------------------------------------


async def test_a_client_that_goes_away_in_its_request_is_no_failure(
    serve_live: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"message=hello"
        raise ConnectionAbortedError

    async with serve_live() as client:
        with pytest.raises(ConnectionAbortedError):
            await client.http.post(
                "/teams/demo-team/runs",
                content=pieces(),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
        assert (await client.get("/sessions"))["data"] == []
    assert "request failed" not in capsys.readouterr().out
