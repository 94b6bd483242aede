"""Streams as they travel: compressed for those who take it, and readable piece by piece."""

import zlib

import httpx2
import pytest

from musterd.core.settings import Settings
from musterd.http.gzip_streams import accepts_gzip
from tests.support.app import Serve
from tests.support.http import ServerClient, read_stream

PATH = "/teams/demo-team/runs"


async def raw(client: ServerClient, accepts: str, message: str = "hello") -> tuple[httpx2.Headers, bytes]:
    """A stream as it comes over the connection."""
    data, content = {"message": message}, bytearray()
    async with client.http.stream("POST", PATH, data=data, headers={"Accept-Encoding": accepts}) as answer:
        async for piece in answer.aiter_raw():
            content += piece
        return answer.headers, bytes(content)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP ; q=0.5", True),
        ("", False),
        ("identity", False),
        ("*", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("xgzip", False),
    ],
)
def test_who_takes_gzip(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


async def test_a_stream_is_compressed_for_those_who_take_it(serve_live: Serve) -> None:
    async with serve_live() as client:
        headers, packed = await raw(client, "gzip")
        assert (headers["content-encoding"], headers["content-type"]) == ("gzip", "text/event-stream; charset=utf-8")
        assert "Accept-Encoding" in headers["vary"]
        unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS)
        text = unpacked.decompress(packed).decode()
        assert unpacked.eof, "a stream that ends well ends as gzip does"
        assert read_stream(text)[-1]["event"] == "TeamRunCompleted"
        headers, plain = await raw(client, "identity")
        assert "content-encoding" not in headers
        assert "Accept-Encoding" in headers["vary"]
        assert read_stream(plain.decode())[-1]["event"] == "TeamRunCompleted"


async def test_each_piece_can_be_read_when_it_comes(serve_live: Serve) -> None:
    async with serve_live() as client:
        hold = client.model.hold("wait", after=1)
        unpacked, text = zlib.decompressobj(16 + zlib.MAX_WBITS), ""
        headers = {"Accept-Encoding": "gzip"}
        async with client.http.stream("POST", PATH, data={"message": "wait"}, headers=headers) as answer:
            pieces = answer.aiter_raw()
            while "event: TeamRunContent\n" not in text:
                text += unpacked.decompress(await anext(pieces)).decode()
            assert text.endswith("\n\n")
            hold.release()
            async for piece in pieces:
                text += unpacked.decompress(piece).decode()
        assert read_stream(text)[-1]["event"] == "TeamRunCompleted"


async def test_a_long_answer_at_the_pace_of_a_model_is_a_tenth(serve_live: Serve) -> None:
    """AgentOS sends 0.34 kB a word."""
    async with serve_live(delta_seconds=0.001) as client:
        message = "[[WORDS 200 1]]"
        _, packed = await raw(client, "gzip", message)
        assert len(packed) < 200 * 340 / 10


async def test_compression_can_be_turned_off(serve: Serve) -> None:
    assert Settings.model_fields["stream_gzip"].default is True
    async with serve(stream_gzip=False) as client:
        stream = await client.stream()
        assert "content-encoding" not in stream.response.headers
        assert stream.names[-1] == "TeamRunCompleted"
