"""Reads a streamed answer: the data of one read is parsed, and its chunks are merged. A truncated answer is an error.

A chunk costs far more than its bytes. So the answer stays unread in the socket, where it costs nothing, until shortly
before the outbox flushes the text that was read before. Subscribers still get all of the text with the same flush.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any, Self

import aiohttp
import httpx2
from openai import APIConnectionError, APIError, AsyncStream
from openai.types.chat import ChatCompletionChunk

from musterd.core import clock, flush_window, received_data
from musterd.core.errors import ModelFailed
from musterd.core.settings import Settings
from musterd.models.answer_limits import longest_event, too_large, too_many_calls
from musterd.models.openai_http_failures import as_request, as_response, connection_error
from musterd.models.openai_http_pool import read_tail
from musterd.models.openai_sse import (
    DONE,
    EventParser,
    EventTooLarge,
    as_chunk,
    event_error,
    first_choice,
    merged,
    read_event,
)

AHEAD_SECONDS = 0.002
"""How long before the flush to read again, so that the new text is part of that flush."""
MIN_PAUSE_SECONDS = 0.005
"""A shorter pause costs more than it saves."""
LARGE_READ_BYTES = 64 * 1024
"""The size of one read. After a read of this size more data is waiting, and other tasks must run in between."""
DELAYED_SHARE = 0.1
"""The longest pause, as a share of the time that the answer has taken so far, so that short answers are not delayed."""


class ChunkStream(AsyncStream[ChatCompletionChunk]):
    """The chunks of one answer, with the interface of the SDK's streams.

    :param answer: the response after its head has arrived with status 200.
    :raises ModelFailed: from ``anext``, when the answer is larger than ``settings`` allow.
    """

    def __init__(self, answer: aiohttp.ClientResponse, settings: Settings) -> None:
        self._answer = answer
        self._settings = settings
        self._received_bytes = 0  # after decompression, which aiohttp does in limited slices
        self._loop = asyncio.get_running_loop()
        self._flush_at = flush_window.next_flush_at.get()
        self._note_data = received_data.on_data.get() or received_data.ignore
        self._parser = EventParser(longest_event(settings))
        self._ready: deque[dict[str, Any]] = deque()
        self._time_slice = clock.TimeSlice()
        self._error: APIError | ModelFailed | None = None
        self._has_more = False
        self._began_at: float | None = None  # None: no data has arrived yet
        self._is_complete = False  # a finish reason or [DONE] has arrived
        self._is_over = False

    @cached_property
    def response(self) -> httpx2.Response:  # type: ignore[override]
        """Status and headers of the answer."""
        return as_response(self._answer, b"")

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        ready = self._ready
        while not ready:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._is_over:
                raise StopAsyncIteration
            await self._read()
            self._time_slice.begin()
        # Not all chunks become events of pydantic-ai, so that its caller cannot pause after each of them.
        await self._time_slice.pause_if_over()
        try:
            return as_chunk(ready.popleft())
        except ValueError as error:
            await self.close()
            ready.clear()
            raise too_large(f"The model's answer contains an event that cannot be read: {error}.") from error

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        """Close the answer, and its connection unless the answer was read to its end."""
        self._is_over = True  # before closing, which makes a pending read fail: ``_read`` then takes it as the end
        self._answer.close()

    async def _read(self) -> None:
        """Read the data that has arrived, or wait for some."""
        try:
            if not self._has_more and (spare_seconds := self._spare_seconds()):
                await self._pause_reading(spare_seconds)
            data = await self._answer.content.read(LARGE_READ_BYTES)
            self._note_data()
            self._has_more = len(data) == LARGE_READ_BYTES
            if data and self._began_at is None:
                self._began_at = self._loop.time()
            self._count(data)
            is_done = self._parse(data)
            if is_done:
                await read_tail(self._answer)
            elif self._has_more:
                await clock.yield_to_others()
        except EventTooLarge:
            self._fail(
                too_large("The model's answer contains an event that is larger than the limit for the whole answer.")
            )
        except (aiohttp.ClientError, OSError) as error:
            self._answer.close()
            if not self._is_over:  # if ``close`` ended this read, it is the end and not a failure
                self._fail(connection_error(error, self._answer.url))
        except BaseException:
            self._is_over = True
            self._answer.close()
            raise

    def _spare_seconds(self) -> float:
        """How long the answer may stay unread without delaying its text."""
        flush_at = self._flush_at() if self._flush_at is not None else None
        if flush_at is None or self._began_at is None:
            return 0
        now = self._loop.time()
        spare_seconds = min(flush_at - AHEAD_SECONDS - now, (now - self._began_at) * DELAYED_SHARE)
        return spare_seconds if spare_seconds >= MIN_PAUSE_SECONDS else 0

    async def _pause_reading(self, seconds: float) -> None:
        """Leave arriving data in the socket for a while."""
        connection = self._answer.connection
        transport = None if connection is None else connection.transport
        if transport is None or transport.is_closing():
            return
        transport.pause_reading()
        try:
            await clock.sleep(seconds)
        finally:
            if not transport.is_closing():
                transport.resume_reading()

    def _count(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes > (limit := self._settings.model_received_bytes):
            raise too_large(f"The model's provider sent more than {limit} bytes for one answer.")

    def _parse(self, data: bytes) -> bool:
        """Parse ``data`` into chunks. It is empty at the end of the answer. True if the answer announced its end."""
        chunks: list[dict[str, Any]] = []
        is_done = False
        for name, text in self._parser.feed(data) if data else self._parser.finish():
            if text.startswith(DONE):
                is_done = self._is_complete = self._is_over = True
                break
            if not self._take_event(name, text, chunks):
                break
        self._add(chunks)
        if not data and not self._is_over:
            self._is_over = True
            self._answer.close()
            if not self._is_complete:
                self._fail(self._broken_answer("The answer ended before it was complete."))
        return is_done

    def _take_event(self, name: bytes, text: bytes, chunks: list[dict[str, Any]]) -> bool:
        """Add the event to ``chunks``. False if it is an error that ends the stream."""
        try:
            chunk = read_event(text)
        except ValueError:
            self._fail(self._broken_answer("The answer contains an event that is not JSON."))
            return False
        if (error := event_error(name, chunk)) is not None:
            self._fail(APIError(error[0], as_request(self._answer.url), body=error[1]))
            return False
        if not isinstance(chunk, dict):
            self._fail(self._broken_answer("The answer contains an event that is not an object."))
            return False
        if self._has_too_many_calls(chunk):
            self._fail(too_many_calls(self._settings.turn_tool_calls))
            return False
        chunks.append(chunk)
        return True

    def _has_too_many_calls(self, chunk: dict[str, Any]) -> bool:
        """Whether the chunk alone has too many tool calls for a turn. Checked before objects are created for them."""
        choice = first_choice(chunk)
        if choice is None:
            return False
        del chunk["choices"][1:]  # pydantic-ai reads only the first
        delta = choice.get("delta")
        calls = delta.get("tool_calls") if type(delta) is dict else None
        return type(calls) is list and len(calls) > self._settings.turn_tool_calls

    def _add(self, chunks: list[dict[str, Any]]) -> None:
        for chunk in merged(chunks) if len(chunks) > 1 else chunks:
            if not self._is_complete and (choice := first_choice(chunk)) is not None:
                self._is_complete = bool(choice.get("finish_reason"))
            self._ready.append(chunk)

    def _fail(self, error: APIError | ModelFailed) -> None:
        """End the stream with ``error`` after the chunks before it were read."""
        self._error = error
        self._is_over = True
        self._answer.close()

    def _broken_answer(self, message: str) -> APIConnectionError:
        return APIConnectionError(message=message, request=as_request(self._answer.url))
