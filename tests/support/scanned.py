"""HTTP clients of the tests, which also check that lenient clients can read every stream.

Browser clients scan the text for balanced braces instead of parsing server-sent events, and others read each line that
begins with ``data: ``. Every stream that a test reads is read again in both ways, up to the point where the test
stopped. Tests create their clients here and never with httpx2 directly.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import httpx2

from tests.support.brace_scanner import scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def check(text: str) -> None:
    """Read the complete frames of a stream like lenient clients.

    :raises AssertionError: one of them would lose an event, or all of them.
    """
    whole = text[: text.rfind("\n\n") + 2] if "\n\n" in text else ""
    events = []
    for line in whole.split("\n"):
        if line.startswith("data:"):
            assert line.startswith("data: {"), f"read by lines that begin with 'data: ' and hold an object: {line!r}"
            event = json.loads(line.removeprefix("data: "))
            assert "data" not in event, f"an event with a key 'data' is taken for its frame: {line!r}"
            events.append(event)
        else:
            assert "{" not in line, f"a brace beside the events loses brace scanners the stream: {line!r}"
    assert scan(whole) == events, "brace scanners read other events than stand in the frames"


class _Read:
    """The part of a stream that was read.

    :param encoding: the content encoding of the response.
    """

    def __init__(self, encoding: str) -> None:
        self._chunks: list[bytes] = []
        self._encoding = encoding
        self._is_checked = False

    def add(self, chunk: bytes) -> bytes:
        self._chunks.append(chunk)
        return chunk

    def check(self) -> None:
        if not self._is_checked:
            self._is_checked = True
            check(self._plain(b"".join(self._chunks)).decode("utf-8", "ignore"))

    def _plain(self, content: bytes) -> bytes:
        if self._encoding in ("", "identity"):
            return content
        assert self._encoding == "gzip", f"clients do not read {self._encoding}"
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content)


class _ScannedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, encoding: str) -> None:
        self._inner = inner
        self._read = _Read(encoding)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield self._read.add(chunk)
        self._read.check()

    async def aclose(self) -> None:
        await self._inner.aclose()
        self._read.check()


class _ScannedSyncStream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, encoding: str) -> None:
        self._inner = inner
        self._read = _Read(encoding)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            yield self._read.add(chunk)
        self._read.check()

    def close(self) -> None:
        self._inner.close()
        self._read.check()


def _is_stream(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")


def _encoding_of(response: httpx2.Response) -> str:
    encoding: str = response.headers.get("content-encoding", "")
    return encoding.strip().lower()


async def _scan_later(response: httpx2.Response) -> None:
    if _is_stream(response):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _ScannedStream(response.stream, _encoding_of(response))


def _scan_later_sync(response: httpx2.Response) -> None:
    if _is_stream(response):
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _ScannedSyncStream(response.stream, _encoding_of(response))


class AsyncClient(httpx2.AsyncClient):
    """A client whose streams are also read like lenient clients read them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [_scan_later]})


class Client(httpx2.Client):
    """A client whose streams are also read like lenient clients read them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [_scan_later_sync]})
