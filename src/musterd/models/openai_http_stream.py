"""A streamed answer: what came in one read is merged, parsed and given out; an answer cut short is an
error."""

from collections import deque
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any, Self

import aiohttp
import httpx2
from openai import APIConnectionError, APIError, AsyncStream
from openai.types.chat import ChatCompletionChunk

from musterd.models.openai_http_failures import as_request, as_response, connection_error
from musterd.models.openai_http_pool import limit_waits, read_tail
from musterd.models.openai_sse import DONE, EventParser, as_chunk, event_error, merged, read_json


class ChunkStream(AsyncStream[ChatCompletionChunk]):
    """The chunks of one answer, in the form that the SDK's streams have.

    :param answer: whose head has come, with status 200.
    :param chunk_seconds: longest wait between two pieces; None: no limit.
    """

    def __init__(self, answer: aiohttp.ClientResponse, chunk_seconds: float | None) -> None:
        self._answer = answer
        self._chunk_seconds = chunk_seconds
        self._parser = EventParser()
        self._ready: deque[ChatCompletionChunk] = deque()
        self._error: APIError | None = None
        self._has_begun = False
        self._is_complete = False  # a finish reason or [DONE] came
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
        return ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        """Close the answer; its connection too, unless the answer was read to its end."""
        self._is_over = True
        self._answer.close()

    async def _read(self) -> None:
        """Take what has come, or wait for more."""
        try:
            data = await self._answer.content.readany()
            if data and not self._has_begun:
                self._has_begun = True
                limit_waits(self._answer, self._chunk_seconds)
            has_said_done = self._take(data)
            if has_said_done:
                await read_tail(self._answer)
        except (aiohttp.ClientError, OSError) as error:
            self._answer.close()
            if not self._is_over:  # closed by us while we waited: the end, not a failure
                self._fail(connection_error(error, self._answer.url))
        except BaseException:
            self._is_over = True
            self._answer.close()
            raise

    def _take(self, data: bytes) -> bool:
        """Make chunks of ``data``, empty at the end of the answer; True: the answer said that it is over."""
        chunks: list[dict[str, Any]] = []
        is_done = False
        for name, text in self._parser.feed(data) if data else self._parser.finish():
            if text.startswith(DONE):
                is_done = self._is_complete = self._is_over = True
                break
            if not self._take_event(name, text, chunks):
                break
        self._give(chunks)
        if not data and not self._is_over:
            self._is_over = True
            self._answer.close()
            if not self._is_complete:
                self._fail(self._broken("The answer ended before it was complete."))
        return is_done

    def _take_event(self, name: bytes, text: bytes, chunks: list[dict[str, Any]]) -> bool:
        """Add the event to ``chunks``; False: it ends the stream as an error."""
        try:
            value = read_json(text)
        except ValueError:
            self._fail(self._broken("The answer holds an event that is not JSON."))
            return False
        if (told := event_error(name, value)) is not None:
            self._fail(APIError(told[0], as_request(self._answer.url), body=told[1]))
            return False
        if not isinstance(value, dict):
            self._fail(self._broken("The answer holds an event that is not an object."))
            return False
        chunks.append(value)
        return True

    def _give(self, chunks: list[dict[str, Any]]) -> None:
        for value in merged(chunks) if len(chunks) > 1 else chunks:
            chunk = as_chunk(value)
            if not self._is_complete and chunk.choices:
                self._is_complete = bool(chunk.choices[0].finish_reason)
            self._ready.append(chunk)

    def _fail(self, error: APIError) -> None:
        """End the stream with ``error`` once what came before it is given out."""
        self._error = error
        self._is_over = True
        self._answer.close()

    def _broken(self, words: str) -> APIConnectionError:
        return APIConnectionError(message=words, request=as_request(self._answer.url))
