"""Who is let in: the key, the names that the server answers to, the pages that may write."""

import asyncio
import json

import httpx2
import pytest

from tests.support.app import Serve
from tests.support.http import ServerClient, problem

KEY = "k-ü-1"
BEARER = {"authorization": "Bearer k1"}
RUNS = "/teams/demo-team/runs"
CLOSED = [
    ("GET", "/teams"),
    ("GET", "/teams/nope"),
    ("GET", "/agents"),
    ("GET", "/config"),
    ("GET", "/models"),
    ("GET", "/sessions"),
    ("DELETE", "/sessions/s1"),
    ("POST", RUNS),
    ("GET", "/teams/demo-team/runs/r1"),
    ("POST", "/teams/demo-team/runs/r1/cancel"),
    ("GET", "/nope"),
    ("POST", "/health"),
    ("GET", "/uis"),
    ("GET", "/healthy"),
]
OPEN = ["/", "/health", "/info", "/-/live", "/-/ready", "/docs", "/redoc", "/openapi.json"]


# --- the key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_what_needs_a_key(serve: Serve, method: str, path: str) -> None:
    async with serve(security_key="k1") as client:
        answer = await client.http.request(method, path)
        if path == "/health":
            assert answer.status_code == 405  # open by its path: the method is what is wrong
            return
        assert problem(answer, 401, "UNAUTHENTICATED") == "Authorization header required"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", OPEN)
async def test_what_is_open(serve: Serve, path: str) -> None:
    async with serve(security_key="k1") as client:
        assert (await client.http.get(path)).status_code == 200


async def test_the_card_tells_how_to_come_in(serve: Serve) -> None:
    async with serve(security_key="k1") as client:
        info = await client.get("/info")
        assert info["auth_mode"] == "security_key"
        assert "k1" not in json.dumps(info)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_right_key(serve: Serve, scheme: str) -> None:
    async with serve(security_key="k1") as client:
        headers = {"authorization": f"{scheme} k1"}
        assert (await client.http.get("/teams", headers=headers)).status_code == 200
        assert (await client.post(stream="false", headers=headers)).json()["status"] == "COMPLETED"


@pytest.mark.parametrize("token", ["k2", "K1", "k1x", "k", "ü", "Bearer k1", "k1 k1"])
async def test_a_wrong_key(serve: Serve, token: str) -> None:
    async with serve(security_key="k1") as client:
        answer = await client.http.get("/teams", headers={b"authorization": f"Bearer {token}".encode()})
        assert problem(answer, 401, "UNAUTHENTICATED") == "Invalid authentication token"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Basic azE6", "k1", "Bearer", "Bearer ", "Token k1", ""])
async def test_another_scheme(serve: Serve, header: str) -> None:
    async with serve(security_key="k1") as client:
        answer = await client.http.get("/teams", headers={"authorization": header})
        assert problem(answer, 401, "UNAUTHENTICATED") == "Authorization header required"


async def test_a_key_is_any_text(serve: Serve) -> None:
    async with serve(security_key=KEY) as client:
        headers = {b"authorization": f"Bearer {KEY}".encode()}
        assert (await client.http.get("/teams", headers=headers)).status_code == 200


async def test_the_key_is_asked_before_anything_is_read(serve: Serve) -> None:
    async with serve(security_key="k1", body_bytes=10) as client:
        problem(await client.post("x" * 100), 401, "UNAUTHENTICATED")
        problem(await client.post(to="teams/nope"), 401, "UNAUTHENTICATED")
        problem(await client.http.get("/teams/a%00b"), 401, "UNAUTHENTICATED")


async def test_an_unknown_path(serve: Serve) -> None:
    async with serve(security_key="k1") as client:
        problem(await client.http.get("/nope"), 401, "UNAUTHENTICATED")
        assert problem(await client.http.get("/nope", headers=BEARER), 404, "NOT_FOUND") == "Not Found"


async def test_without_a_key_everybody_is_let_in(client: ServerClient) -> None:
    assert (await client.http.get("/teams", headers=BEARER)).status_code == 200
    assert (await client.get("/info"))["auth_mode"] == "none"


# --- Host ---------------------------------------------------------------------------------------------


LOCAL = ["localhost", "localhost:7777", "LOCALHOST", "127.0.0.1:80", "[::1]", "[::1]:7777", "localhost.:7777"]
LOCAL += ["127.0.0.2", "[0:0:0:0:0:0:0:1]:80"]  # addresses: nobody can point them elsewhere


@pytest.mark.parametrize("host", LOCAL)
async def test_names_of_this_machine(client: ServerClient, host: str) -> None:
    assert (await client.http.get("/teams", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7777", "evil.example.", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("10.0.0.1", "[2001:db8::1]", "[::1", "::1]:7777", "", ":7777", "localhost:x", "localhost:7777:1"),
        *("user@localhost", "localhost/x", "localhost#", "localhost, evil.example", "localhost evil.example", "0177.1"),
    ],
)
@pytest.mark.parametrize("path", ["/teams", "/health"])
async def test_another_name(client: ServerClient, host: str, path: str) -> None:
    answer = await client.http.get(path, headers={"host": host})
    assert "MUSTERD_ALLOWED_HOSTS" in problem(answer, 400, "BAD_REQUEST")


async def test_another_name_even_with_the_key(serve: Serve) -> None:
    async with serve(security_key="k1") as client:
        problem(await client.http.get("/teams", headers={"host": "evil.example", **BEARER}), 400, "BAD_REQUEST")


async def test_a_name_that_is_allowed(serve: Serve) -> None:
    async with serve(allowed_hosts="musterd.lan, Other.LAN") as client:
        for host in ("musterd.lan:7777", "other.lan", "localhost"):
            assert (await client.http.get("/teams", headers={"host": host})).status_code == 200


async def test_any_name_where_it_is_reachable_from_elsewhere(serve: Serve) -> None:
    async with serve(is_loopback=False) as client:
        assert (await client.http.get("/teams", headers={"host": "musterd.example"})).status_code == 200


@pytest.mark.parametrize(
    "request_lines, status",
    [
        ("GET /teams HTTP/1.1\r\nHost: localhost", 200),
        ("GET /teams HTTP/1.0", 400),
        ("GET /teams HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 400),
        ("GET /teams HTTP/1.1\r\nHost: evil.example\r\nHost: localhost", 400),
        ("GET http://localhost/teams HTTP/1.1\r\nHost: evil.example", 400),
        ("GET http://evil.example/teams HTTP/1.1\r\nHost: evil.example", 400),
        ("GET /teams HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example", 200),
    ],
)
async def test_names_as_they_come_over_the_wire(serve_live: Serve, request_lines: str, status: int) -> None:
    async with serve_live() as client:
        reader, writer = await asyncio.open_connection(client.http.base_url.host, client.http.base_url.port)
        writer.write(f"{request_lines}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ", 2)[1] == str(status).encode(), answer


# --- Origin -------------------------------------------------------------------------------------------

FOREIGN = ["http://evil.example", "null", "http://localhost.evil.example", "http://localhost:9999", "file://", "x"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_may_not_write(serve: Serve, origin: str) -> None:
    async with serve(security_key="k1") as client:
        headers = {"origin": origin, **BEARER}
        problem(await client.post(headers=headers), 403, "FORBIDDEN")
        problem(await client.http.delete("/sessions/s1", headers=headers), 403, "FORBIDDEN")
        problem(await client.http.post("/teams/demo-team/runs/r1/cancel", headers=headers), 403, "FORBIDDEN")
        assert (await client.http.get("/sessions", headers=BEARER)).json()["data"] == []


async def test_a_foreign_page_may_not_write_without_a_key_either(client: ServerClient) -> None:
    problem(await client.post(headers={"origin": "http://evil.example"}), 403, "FORBIDDEN")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:3000", "http://localhost"])
async def test_pages_that_may_write(client: ServerClient, origin: str) -> None:
    answer = await client.post(stream="false", headers={"origin": origin})
    assert answer.json()["status"] == "COMPLETED"


async def test_a_page_of_the_server_itself_may_write(serve_live: Serve) -> None:
    async with serve_live() as client:
        origin = str(client.http.base_url).rstrip("/")
        assert (await client.post(stream="false", headers={"origin": origin})).status_code == 200
        assert (await client.post(stream="false", headers={"origin": origin + "1"})).status_code == 403


async def test_a_client_that_is_no_page_may_write(client: ServerClient) -> None:
    answer = await client.post(stream="false")
    assert "origin" not in answer.request.headers
    assert answer.status_code == 200


async def test_a_foreign_page_may_look_only_as_far_as_its_browser_lets_it(client: ServerClient) -> None:
    answer = await client.http.get("/teams", headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


# --- CORS ---------------------------------------------------------------------------------------------


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-request-id",
    }


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:3000"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
async def test_a_preflight_of_an_allowed_page(serve: Serve, origin: str, method: str) -> None:
    async with serve(security_key="k1") as client:
        answer = await client.http.options(RUNS, headers=preflight(origin, method))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert method in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()


async def test_a_preflight_of_a_foreign_page(client: ServerClient) -> None:
    answer = await client.http.options(RUNS, headers=preflight("http://evil.example"))
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


async def test_pages_that_a_setting_names(serve: Serve) -> None:
    async with serve(cors_origins="https://app.example") as client:
        answer = await client.post(stream="false", headers={"origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        problem(await client.post(headers={"origin": "http://localhost:3000"}), 403, "FORBIDDEN")


async def test_any_page(serve: Serve) -> None:
    async with serve(cors_origins="*") as client:
        for origin in ("https://app.example", "http://localhost:3000"):
            answer = await client.post(stream="false", headers={"origin": origin})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin


async def test_every_answer_to_an_allowed_page_carries_the_headers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(security_key="k1", body_bytes=2000) as client:
        origin = {"origin": "http://localhost:3000"}
        monkeypatch.setattr(client.server, "describe", lambda component: 1 // 0)
        answers: list[httpx2.Response] = [
            await client.http.get("/teams", headers=origin),
            await client.http.get("/nope", headers={**origin, **BEARER}),
            await client.http.delete("/teams", headers={**origin, **BEARER}),
            await client.post("", headers={**origin, **BEARER}),
            await client.post("x" * 3000, headers={**origin, **BEARER}),
            await client.post(headers={**origin, **BEARER}),
            await client.http.get("/teams", headers={**origin, **BEARER}),
        ]
        assert [answer.status_code for answer in answers] == [401, 404, 405, 422, 413, 200, 500]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == origin["origin"]
            assert "origin" in answer.headers["vary"].lower()
            assert answer.headers["access-control-expose-headers"]


# --- headers for browsers -----------------------------------------------------------------------------

SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


async def test_every_answer_keeps_browsers_from_making_more_of_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(security_key="k1", rate_per_minute=1, rate_burst=8, body_bytes=2000) as client:
        run = (await client.post(stream="false", headers=BEARER)).json()
        one = f"/teams/demo-team/runs/{run['run_id']}?session_id={run['session_id']}"
        monkeypatch.setattr(client.server, "describe", lambda component: 1 // 0)
        answers = [
            await client.http.get("/sessions", headers=BEARER),
            await client.http.get("/teams"),
            await client.http.get("/nope", headers=BEARER),
            await client.http.delete("/teams", headers=BEARER),
            await client.post("", headers=BEARER),
            await client.post("x" * 3000, headers=BEARER),
            await client.http.get("/teams", headers=BEARER),
            await client.post(headers={"origin": "http://evil.example", **BEARER}),
            await client.http.get("/teams", headers={"host": "evil.example"}),
            await client.http.delete("/sessions/s1", headers=BEARER),
            await client.http.get(one, headers=BEARER),
        ]
        statuses = [200, 401, 404, 405, 422, 413, 500, 403, 400, 204, 429]
        assert [answer.status_code for answer in answers] == statuses
        for answer in answers:
            assert SAFE.items() <= dict(answer.headers).items()
            assert answer.headers["cache-control"] == ("no-cache" if "etag" in answer.headers else "no-store")
        for path in ("/health", "/openapi.json"):
            answer = await client.http.get(path)
            assert SAFE.items() <= dict(answer.headers).items()
        for path in ("/docs", "/redoc"):
            answer = await client.http.get(path)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_a_poll_may_be_kept_by_who_asked_and_asked_again(client: ServerClient) -> None:
    run = await client.run()
    answer = await client.http.get(f"/teams/demo-team/runs/{run['run_id']}?session_id={run['session_id']}")
    assert answer.headers["cache-control"] == "no-cache"


# --- what is shown twice ------------------------------------------------------------------------------


async def test_two_keys_are_none(serve: Serve) -> None:
    async with serve(security_key="k1") as client:
        for second in ("Bearer k1", "Bearer k2", "Basic x"):
            headers = [("authorization", "Bearer k1"), ("authorization", second)]
            answer = await client.http.get("/teams", headers=headers)
            assert "once" in problem(answer, 401, "UNAUTHENTICATED")
