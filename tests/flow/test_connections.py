"""What is said on a connection: heads, bodies and pauses that no honest client makes are refused, and cost little."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from musterd.core import clock
from musterd.http import uvicorn_protocol
from musterd.http.uvicorn_protocol import BoundedProtocol
from tests.support.app import Serve
from tests.support.held_model import Hold
from tests.support.http import ServerClient
from tests.support.raw_connection import HOST, RawConnection, exchange, raw_connection, status_of

FORM = b"message=hi&stream=false"
RUNS = b"POST /teams/demo-team/runs HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = RUNS + b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"17\r\n" + FORM + b"\r\n0\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST
SOON_SECONDS = 2.0
"""A limit that passes while a test waits, and not while a busy machine does what the test does at once."""
LAST = b"Connection: close\r\n\r\n"

REFUSED = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a proxy's method": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": HEALTH + b"Host: other\r\n\r\n",
    "two keys": HEALTH + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two types": RUNS + b"Content-Type: application/json\r\nContent-Length: 23\r\n\r\n" + FORM,
    "another server's address": b"GET http://evil.example/health HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address without a path": b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": HEALTH.replace(b"1.1", b"0.9") + b"\r\n",
    "HTTP/2.0": HEALTH.replace(b"1.1", b"2.0") + b"\r\n",
    "HTTP/1.2": HEALTH.replace(b"1.1", b"1.2") + b"\r\n",
    "lines without CR": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "a folded header": HEALTH + b"X-A: b\r\n  c\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "NUL in a header": HEALTH + b"X-A: a\0b\r\n\r\n",
    "a control sign in a header": HEALTH + b"X-Request-ID: a\x01b\r\n\r\n",
    "NUL in the path": b"GET /hea\0lth HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the path": b"GET /hea\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "two lengths": RUNS + b"Content-Length: 23\r\nContent-Length: 23\r\n\r\n" + FORM,
    "a list of lengths": RUNS + b"Content-Length: 23, 23\r\n\r\n" + FORM,
    "a negative length": RUNS + b"Content-Length: -1\r\n\r\n" + FORM,
    "a length with a sign": RUNS + b"Content-Length: +23\r\n\r\n" + FORM,
    "a length without end": RUNS + b"Content-Length: 99999999999999999999999\r\n\r\n" + FORM,
    "length and chunks": CHUNKED + b"Content-Length: 23\r\n\r\n" + CHUNKS,
    "chunks and length": RUNS + b"Content-Length: 23\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunks twice": RUNS + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "two codings": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "another transfer coding": RUNS + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "an unknown transfer coding": RUNS + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "chunks before HTTP/1.1": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + CHUNKS,
    "a chunk without end": CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\n" + FORM,
    "a negative chunk": CHUNKED + b"\r\n-1\r\n" + FORM,
    "chunks without CR": CHUNKED + b"\r\n17\n" + FORM + b"\n0\n\n",
    "a chunk longer than told": CHUNKED + b"\r\n3\r\n" + FORM + b"\r\n0\r\n\r\n",
}


@pytest.fixture(autouse=True)
def patient_refusals() -> Iterator[None]:
    """Whoever is refused may take as long as a busy machine needs to read why."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn_protocol, "LINGER_SECONDS", 60.0)
        yield


def problem(answer: bytes, status: int, code: str) -> str:
    """The words of the only answer in these bytes, which has the form of all errors."""
    assert status_of(answer) == status, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    content = json.loads(body)
    assert content["error_code"] == code
    assert f"x-request-id: {content['request_id']}".encode() in head
    return str(content["detail"])


async def test_what_can_be_read_in_two_ways_is_refused(serve_live: Serve) -> None:
    async with serve_live() as client:
        for name, data in REFUSED.items():
            answer = await exchange(client, data)
            assert status_of(answer) == 400, f"{name}: {answer!r}"
            assert problem(answer, 400, "BAD_REQUEST"), name
        assert (await client.get("/sessions"))["meta"]["total_count"] == 0


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (HEALTH + b"A: b\r\n" * 11 + b"\r\n", 431, "REQUEST_HEADERS_TOO_LARGE"),
        (HEALTH + b"A: " + b"x" * 1100 + b"\r\n\r\n", 431, "REQUEST_HEADERS_TOO_LARGE"),
        (HEALTH + b"A: " + b"x" * 600_000, 431, "REQUEST_HEADERS_TOO_LARGE"),
        (HEALTH + b"A: b\r\n" * 100_000, 431, "REQUEST_HEADERS_TOO_LARGE"),
        (b"GET /" + b"x" * 600 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "URI_TOO_LONG"),
        (b"GET /" + b"x" * 600_000, 414, "URI_TOO_LONG"),
    ],
    ids=["many", "long", "endless", "endless-many", "address", "endless-address"],
)
async def test_a_head_has_limits(serve_live: Serve, data: bytes, status: int, code: str) -> None:
    async with serve_live(header_count=10, header_bytes=1024, url_bytes=512) as client:
        problem(await exchange(client, data), status, code)
        assert status_of(await exchange(client, HEALTH + b"A: " + b"x" * 900 + b"\r\n" + LAST)) == 200


# --- time ---------------------------------------------------------------------------------------------


async def test_a_head_that_comes_slowly(serve_live: Serve) -> None:
    async with serve_live(header_seconds=SOON_SECONDS) as client:
        begun, *unsaid = (
            asyncio.ensure_future(exchange(client, data)) for data in (HEALTH + b"X-A", b"", b"\r\n" * 10)
        )
        async with (
            raw_connection(client) as line,
            dripping(line, HEALTH + b"X-A: "),
        ):  # every byte in time, all of them never
            problem(await line.rest(), 408, "REQUEST_TIMEOUT")
        assert "slowly" in problem(await begun, 408, "REQUEST_TIMEOUT")
        assert await asyncio.gather(*unsaid) == [b"", b""]


async def test_a_second_head_that_comes_slowly(serve_live: Serve) -> None:
    async with serve_live(header_seconds=SOON_SECONDS, keep_alive_seconds=60) as client, raw_connection(client) as line:
        await line.say(HEALTH + b"\r\n")
        assert status_of(await line.answer()) == 200
        await line.say(HEALTH)
        problem(await line.rest(), 408, "REQUEST_TIMEOUT")


async def test_a_head_that_began_behind_a_request_at_work(serve_live: Serve) -> None:
    async with serve_live(header_seconds=SOON_SECONDS, keep_alive_seconds=60) as client, raw_connection(client) as line:
        held = client.model.hold("hi")
        await line.say(RUNS + b"Content-Length: 23\r\n\r\n" + FORM + HEALTH)
        await held.reached.wait()
        held.release()
        assert status_of(await line.answer()) == 200
        problem(await line.rest(), 408, "REQUEST_TIMEOUT")


async def test_a_connection_without_requests(serve_live: Serve) -> None:
    async with serve_live(keep_alive_seconds=SOON_SECONDS) as client, raw_connection(client) as line:
        await line.say(HEALTH + b"\r\n")
        assert status_of(await line.answer()) == 200
        assert await line.rest() == b""


async def test_a_body_that_comes_slowly(serve_live: Serve) -> None:
    soon: dict[str, Any] = {"body_seconds": SOON_SECONDS, "header_seconds": SOON_SECONDS}
    async with serve_live(client_bytes_per_second=10**6, **soon) as client:
        whole = RUNS + b"Content-Length: 10000\r\n\r\nmessage="
        chunk = CHUNKED + b"\r\n17;" + b"x" * 1000
        alone, chunked = (asyncio.ensure_future(exchange(client, data)) for data in (whole, chunk))
        async with raw_connection(client) as line:
            await line.say(whole)
            async with dripping(line, b""):
                assert status_of(await line.rest()) == 408
        assert status_of(await alone) == status_of(await chunked) == 408
        assert b'"REQUEST_TIMEOUT"' in await alone
        assert (await client.get("/sessions"))["meta"]["total_count"] == 0


async def test_a_body_that_nobody_reads(serve_live: Serve) -> None:
    async with serve_live(header_seconds=SOON_SECONDS, security_key="k1") as client:
        whole = RUNS + b"Content-Length: 10000\r\n\r\nmess"
        assert status_of(await exchange(client, whole)) == 401
        async with raw_connection(client) as line:
            await line.say(whole)
            async with dripping(line, b""):
                assert status_of(await line.rest()) == 401


async def test_what_waits_is_not_late(serve_live: Serve) -> None:
    names = ("header_seconds", "body_seconds", "write_seconds", "keep_alive_seconds")
    async with serve_live(ping_seconds=SOON_SECONDS / 5, **dict.fromkeys(names, SOON_SECONDS)) as client:
        held = client.model.hold("hi")
        async with raw_connection(client) as stream:
            form = b"message=hi&run_id=r1&session_id=s1"
            await stream.say(RUNS + b"Content-Length: %d\r\n%s" % (len(form), LAST) + form)
            await held.reached.wait()
            async with raw_connection(client) as poll:  # not earlier: its headers have to come soon
                await poll.say(b"GET /teams/demo-team/runs/r1?session_id=s1&wait=30 HTTP/1.1\r\n" + HOST + LAST)
                text = b""
                while text.count(b": ping") < 10:
                    text += await stream.piece()
                held.release()
                assert b"TeamRunCompleted" in await stream.rest()
                assert b'"COMPLETED"' in await poll.rest()


async def test_a_client_that_takes_nothing_of_its_answer(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = asyncio.Event()
    closed = BoundedProtocol.connection_lost

    def noted(protocol: BoundedProtocol, error: Exception | None) -> None:
        closed(protocol, error)
        dropped.set()

    async with serve_live(write_seconds=SOON_SECONDS) as client:
        files = {"files": ("a.png", b"\x89PNG" + bytes(3_000_000), "image/png")}
        body = (await client.post(stream="false", files=files)).json()  # slowly enough, but all the time
        path = f"/teams/demo-team/runs/{body['run_id']}?session_id={body['session_id']}"
        monkeypatch.setattr(BoundedProtocol, "connection_lost", noted)
        async with raw_connection(client, limit=1024) as line:
            await line.say(b"GET %s HTTP/1.1\r\n" % path.encode() + HOST + b"\r\n")
            await asyncio.wait_for(dropped.wait(), 120)
            assert len(await line.rest()) < 3_000_000
        assert (await client.http.get("/health")).status_code == 200


@contextlib.asynccontextmanager
async def dripping(line: RawConnection, begin: bytes) -> AsyncIterator[None]:
    """Say one sign after the other, each soon enough."""

    async def drip() -> None:
        for sign in begin + b"x" * 10_000:
            await line.say(bytes((sign,)))
            await clock.sleep(0.01)

    saying = asyncio.create_task(drip())
    try:
        yield
    finally:
        saying.cancel()


# --- how many -----------------------------------------------------------------------------------------


async def test_who_waits_longest_makes_room(serve_live: Serve) -> None:
    async with serve_live(connections=3, header_seconds=60) as client, contextlib.AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(raw_connection(client)) for _ in range(2)]
        await first.say(HEALTH)  # a head that never comes
        await second.say(HEALTH + b"\r\n")
        assert status_of(await second.answer()) == 200
        for _ in range(2):
            line = await stack.enter_async_context(raw_connection(client))
            await line.say(HEALTH + b"\r\n")
            assert status_of(await line.answer()) == 200
        assert "connections" in problem(await first.rest(), 503, "UNAVAILABLE")
        await second.say(HEALTH + LAST)
        assert status_of(await second.rest()) == 200


async def test_an_idle_connection_that_makes_room_is_closed_without_a_word(serve_live: Serve) -> None:
    """An answer to no request could be taken for that of the next one."""
    async with serve_live(connections=1) as client, raw_connection(client) as idle:
        await idle.say(HEALTH + b"\r\n")
        assert status_of(await idle.answer()) == 200
        assert status_of(await exchange(client, HEALTH + LAST)) == 200
        assert await idle.rest() == b""


async def test_a_connection_that_has_begun_its_next_request_is_answered(serve_live: Serve) -> None:
    async with serve_live(connections=1) as client, raw_connection(client) as line:
        await line.say(HEALTH + b"\r\n" + HEALTH)  # the second head is not complete
        assert status_of(await line.answer()) == 200
        assert status_of(await exchange(client, HEALTH + LAST)) == 200
        assert "connections" in problem(await line.rest(), 503, "UNAVAILABLE")


async def test_no_room_where_all_are_at_work(serve_live: Serve) -> None:
    async with serve_live(connections=1) as client:
        held = client.model.hold("hi")
        async with raw_connection(client) as line:
            await line.say(RUNS + b"Content-Length: 23\r\n" + LAST + FORM)
            await held.reached.wait()
            async with raw_connection(client) as other:
                answer = await other.rest()
                assert "connections" in problem(answer, 503, "UNAVAILABLE")
                assert b"retry-after: " in answer
            held.release()
            assert status_of(await line.rest()) == 200


async def fill(client: ServerClient, stack: contextlib.AsyncExitStack) -> Hold:
    """Take both connections of a server with room for two by runs that wait; what releases them."""
    held = client.model.hold("hi")
    for _ in range(2):
        line = await stack.enter_async_context(raw_connection(client))
        await line.say(RUNS + b"Content-Length: 23\r\n" + LAST + FORM)
    while len(client.model.calls) < 2:  # then both are at work
        await clock.yield_to_others()
    return held


async def test_a_refused_client_may_still_send_its_request(serve_live: Serve) -> None:
    """If the connection were closed at once, the client's next bytes would reset it, and it could lose the refusal."""
    async with serve_live(connections=2) as client, contextlib.AsyncExitStack() as stack:
        held = await fill(client, stack)
        async with raw_connection(client) as late:
            assert "connections" in problem(await late.rest(), 503, "UNAVAILABLE")
            for _ in range(5):
                await late.say(b"x" * 100_000, is_open=True)
        held.release()


async def test_refused_clients_that_stay_do_not_cost_the_next_one_its_refusal(serve_live: Serve) -> None:
    async with serve_live(connections=2) as client, contextlib.AsyncExitStack() as stack:
        held = await fill(client, stack)
        for _ in range(3):  # none of them closes its end
            line = await stack.enter_async_context(raw_connection(client))
            assert "connections" in problem(await line.rest(), 503, "UNAVAILABLE")
        async with raw_connection(client) as late:
            for _ in range(5):
                await late.say(b"x" * 100_000, is_open=True)
            assert "connections" in problem(await late.rest(), 503, "UNAVAILABLE")
        held.release()


async def test_connections_of_one_address(serve_live: Serve) -> None:
    async with serve_live(connections_per_address=1) as client, raw_connection(client) as line:
        await line.say(HEALTH + b"\r\n")
        assert status_of(await line.answer()) == 200
        async with raw_connection(client) as other:
            problem(await other.rest(), 429, "RATE_LIMITED")
        await line.say(HEALTH + LAST)
        assert status_of(await line.rest()) == 200
        assert status_of(await exchange(client, HEALTH + LAST)) == 200


# --- several requests, other protocols ----------------------------------------------------------------


async def test_requests_behind_each_other(serve_live: Serve) -> None:
    async with serve_live() as client:
        answers = await exchange(client, (HEALTH + b"\r\n") * 3 + HEALTH + LAST)
        assert answers.count(b"HTTP/1.1 200 OK") == 4
        answers = await exchange(client, HEALTH + b"\r\n" + b"nonsense\r\n\r\n")
        assert answers.count(b"HTTP/1.1") == 1  # none comes into the one that is under way
        assert status_of(answers) == 200
        answers = await exchange(client, (HEALTH + b"\r\n") * 5000)
        assert 1 <= answers.count(b"HTTP/1.1 200 OK") < 100


async def test_what_stands_behind_a_body_is_no_header(serve_live: Serve) -> None:
    async with serve_live(security_key="k1") as client:
        chunks = CHUNKS.removesuffix(b"\r\n") + b"Authorization: Bearer k1\r\nX-Request-ID: behind\r\n\r\n"
        answer = await exchange(client, CHUNKED + LAST + chunks)
        assert status_of(answer) == 401
        assert b"behind" not in answer


async def test_an_offer_of_another_protocol_is_not_taken(serve_live: Serve) -> None:
    async with serve_live() as client:
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        async with raw_connection(client) as line:
            for _ in range(2):
                await line.say(RUNS + offer + b"Content-Length: 23\r\n\r\n" + FORM)
                answer = await line.answer()
                assert status_of(answer) == 200
                assert b'"Echo: hi"' in answer
        offer = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
        assert status_of(await exchange(client, b"GET /nope HTTP/1.1\r\n" + HOST + offer)) == 404


async def test_older_clients_and_other_methods(serve_live: Serve) -> None:
    async with serve_live() as client:
        assert status_of(await exchange(client, b"GET /health HTTP/1.0\r\n" + HOST + b"\r\n")) == 200
        assert status_of(await exchange(client, b"GET http://localhost/health HTTP/1.1\r\n" + HOST + LAST)) == 200
        head = await exchange(client, b"HEAD /nope HTTP/1.1\r\n" + HOST + LAST)
        assert status_of(head) == 404
        assert head.endswith(b"\r\n\r\n")
        for method in (b"TRACE", b"OPTIONS", b"PUT", b"PROPFIND"):
            answer = await exchange(client, method + b" /teams HTTP/1.1\r\n" + HOST + LAST)
            assert status_of(answer) == 405
            assert b"\r\nallow: GET, HEAD\r\n" in answer


async def test_a_long_body_is_refused_before_it_comes(serve_live: Serve) -> None:
    async with serve_live(body_bytes=1000) as client:
        answer = await exchange(client, RUNS + b"Expect: 100-continue\r\nContent-Length: 100000\r\n" + LAST)
        assert status_of(answer) == 413
        assert b"100 Continue" not in answer


async def test_one_answer_ends_where_the_next_begins(client: ServerClient) -> None:
    """What a client chose stands in headers of answers; none of it can end one."""
    session_id = "a%0d%0aSet-Cookie: x"
    answer = await client.post(background="true", stream="false", session_id="a\r\nb")
    assert answer.status_code == 422
    answer = await client.post(background="true", stream="false", session_id=session_id)
    assert answer.headers["location"].endswith("?session_id=a%250d%250aSet-Cookie%3A%20x")
    for request_id in ("é", "a b", "x" * 129, "a\tb", ""):
        answer = await client.http.get("/health", headers={b"x-request-id": request_id.encode("latin-1")})
        assert answer.headers["x-request-id"] != request_id
