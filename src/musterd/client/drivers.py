"""The two drivers: they perform the steps of flows, one by blocking, one on an event loop. They decide nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from musterd.client.flows import Emit, Failure, Flow, Open, Read, Send, Sleep, Step, StreamFlow
from musterd.core import clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"


def is_event_stream(answer: httpx2.Response) -> bool:
    """Whether the answer is a stream of events, which is read piece by piece; any other answer is read at once."""
    return answer.status_code == 200 and answer.headers.get("content-type", "").startswith(EVENT_STREAM)


class SyncDriver:
    """Performs steps on the calling thread.

    :param http: sends the requests.
    """

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def call(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
        outcome = None
        try:
            while True:
                outcome = self._perform(flow.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    def iterate(self, flow: StreamFlow[T]) -> Generator[T, None, None]:
        """Drive a flow, and yield what it emits."""
        reader = _Reader(self.http)
        outcome: Any = None
        with contextlib.closing(reader), contextlib.closing(flow):
            while True:
                try:
                    step = flow.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    outcome = None
                    yield step.item
                elif isinstance(step, Open):
                    outcome = reader.open(step.request)
                elif isinstance(step, Read):
                    outcome = reader.read()
                else:
                    outcome = self._perform(step)

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return clock.block(step.seconds)
        assert isinstance(step, Send), "only a flow that is iterated reads a stream"
        try:
            return self.http.send(step.request)
        except httpx2.RequestError as error:
            return error


class AsyncDriver:
    """Performs steps on the running event loop.

    :param http: sends the requests.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def call(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
        outcome = None
        try:
            while True:
                outcome = await self._perform(flow.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    async def iterate(self, flow: StreamFlow[T]) -> AsyncGenerator[T, None]:
        """Drive a flow, and yield what it emits."""
        reader = _AsyncReader(self.http)
        outcome: Any = None
        async with contextlib.aclosing(reader):
            with contextlib.closing(flow):
                while True:
                    try:
                        step = flow.send(outcome)
                    except StopIteration:
                        return
                    if isinstance(step, Emit):
                        outcome = None
                        yield step.item
                    elif isinstance(step, Open):
                        outcome = await reader.open(step.request)
                    elif isinstance(step, Read):
                        outcome = await reader.read()
                    else:
                        outcome = await self._perform(step)

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return await clock.sleep(step.seconds)
        assert isinstance(step, Send), "only a flow that is iterated reads a stream"
        try:
            return await self.http.send(step.request)
        except httpx2.RequestError as error:
            return error


class _Reader:
    """The stream that a flow reads."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._answer: httpx2.Response | None = None

    def open(self, request: httpx2.Request) -> httpx2.Response | Failure:
        self.close()
        try:
            self._answer = answer = self._http.send(request, stream=True)
            if not is_event_stream(answer):
                answer.read()
            self._events = iter(httpx2.EventSource(answer, max_event_size=None))
        except httpx2.RequestError as error:
            return error
        return answer

    def read(self) -> httpx2.ServerSentEvent | Failure | None:
        try:
            return next(self._events, None)
        except httpx2.RequestError as error:
            return error

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()


class _AsyncReader:
    """The stream that a flow reads."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._answer: httpx2.Response | None = None

    async def open(self, request: httpx2.Request) -> httpx2.Response | Failure:
        await self.aclose()
        try:
            self._answer = answer = await self._http.send(request, stream=True)
            if not is_event_stream(answer):
                await answer.aread()
            self._events = aiter(httpx2.EventSource(answer, max_event_size=None))
        except httpx2.RequestError as error:
            return error
        return answer

    async def read(self) -> httpx2.ServerSentEvent | Failure | None:
        try:
            return await anext(self._events, None)
        except httpx2.RequestError as error:
            return error

    async def aclose(self) -> None:
        if self._answer is not None:
            await self._answer.aclose()
