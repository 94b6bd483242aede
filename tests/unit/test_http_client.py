"""Connections as an HTTP client: a peer may not keep the process busy with what is no body."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import httpx2
import pytest

from musterd.http_client import BoundedConnector, FramingTooLong
from musterd.http_client.httpx_transport import httpx_transport
from tests.support.endless_server import KINDS, endless

LONG_SECONDS = 60  # none of these tests waits for it


@contextlib.asynccontextmanager
async def session(**options: bool) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=LONG_SECONDS)
    async with aiohttp.ClientSession(connector=BoundedConnector(), timeout=timeout, **options) as client:  # type: ignore[arg-type]
        yield client


@contextlib.asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[str]:
    """A server that sends these pieces to each request, and keeps the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def reason_of(kind: str) -> str:
    return "more than 16 interim responses" if "interim" in kind else "more than 64 KiB of headers and framing"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_surrounds_a_body_has_a_ceiling(kind: str) -> None:
    async with endless(kind) as (url, is_left), session() as http:
        with pytest.raises(FramingTooLong, match=reason_of(kind)):
            await (await http.get(url)).read()
        await is_left.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_httpx_clients_have_the_same_ceiling(kind: str) -> None:
    async with endless(kind) as (url, is_left), session() as http:

        async def give() -> aiohttp.ClientSession:
            return http

        async with httpx2.AsyncClient(transport=httpx_transport(httpx2, give), timeout=LONG_SECONDS) as client:
            with pytest.raises(httpx2.RemoteProtocolError, match=reason_of(kind)):
                await client.get(url)
        await is_left.wait()


async def test_long_bodies_pass_however_they_are_cut() -> None:
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3
    async with answering(early + head, *[chunk * 4000] * 4, b"0\r\n\r\n") as url, session() as http:
        for _ in range(2):  # the second over the same connection
            answer = await http.get(url)
            assert len(await answer.read()) == 64 * 16_000
        assert len(http.connector._conns) == 1  # type: ignore[union-attr]


async def test_a_reader_that_pauses_gets_the_whole_body() -> None:
    body = bytes(range(256)) * 8000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as url, session() as http:
        answer = await http.get(url)
        read = bytearray()
        while piece := await answer.content.read(1000):
            read += piece
        assert bytes(read) == body


@pytest.mark.parametrize("size", [100, 40_000, 65_536, 131_072])
async def test_what_follows_a_response_is_not_taken_for_the_next(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = b"x" * (size - len(head % size))
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"
    async with answering((head % len(body)) + body + second) as url, session() as http:
        for _ in range(2):
            answer = await http.get(url, read_bufsize=16 * 1024)
            read = bytearray()
            while piece := await answer.content.read(1000):
                read += piece
            assert bytes(read) == body


async def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 300_000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with session() as http:
        answer = await http.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert len(await answer.read()) == 300_000
    server.close()


Break = Callable[[str], Awaitable[object]]


@pytest.mark.parametrize(
    ("pieces", "raised"),
    [
        ([b"nonsense\r\n\r\n"], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], httpx2.RemoteProtocolError),
    ],
)
async def test_httpx_clients_get_their_own_errors(pieces: list[bytes], raised: type[Exception]) -> None:
    async with answering(*pieces) as url, session() as http:

        async def give() -> aiohttp.ClientSession:
            return http

        async with httpx2.AsyncClient(transport=httpx_transport(httpx2, give), timeout=LONG_SECONDS) as client:
            with pytest.raises(raised):
                await client.get(url)
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://127.0.0.1:1/")


async def test_the_errors_of_httpx_clients_do_not_have_the_address() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n") as url, session() as http:

        async def give() -> aiohttp.ClientSession:
            return http

        async with httpx2.AsyncClient(transport=httpx_transport(httpx2, give)) as client:
            with pytest.raises(httpx2.RemoteProtocolError, match="Can not decode") as caught:
                await client.get(url, params={"key": "hush"})
    assert "hush" not in str(caught.value)


async def test_httpx_clients_send_and_get_what_they_would() -> None:
    sent = asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent.put_nowait(head + await reader.readexactly(7))
        writer.write(b"HTTP/1.1 201 Made\r\nX-One: 1\r\nX-One: 2\r\nContent-Length: 2\r\n\r\nok")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with session() as http:

        async def give() -> aiohttp.ClientSession:
            return http

        async with httpx2.AsyncClient(transport=httpx_transport(httpx2, give), headers={"X-Key": "k"}) as client:
            answer = await client.post(
                f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a%2Fb?c=%20d", json={"a": 1}
            )
    server.close()
    request = (await sent.get()).decode().lower()
    assert request.startswith("post /a%2fb?c=%20d http/1.1\r\n")
    assert "x-key: k" in request
    assert request.count("user-agent:") == request.count("content-type:") == 1
    assert request.endswith('{"a":1}')
    assert (answer.status_code, answer.text, answer.headers.get_list("x-one")) == (201, "ok", ["1", "2"])
