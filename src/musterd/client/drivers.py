"""The two drivers: they perform the actions of flows, one by blocking, one on an event loop. They decide nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from . import clock
from .flows import Action, Emit, Flow, Open, Read, Send, Sleep, StreamFlow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"


def is_event_stream(answer: httpx2.Response) -> bool:
    """Whether the answer is a stream of events, which is read piece by piece; any other answer is read at once."""
    return answer.status_code == 200 and answer.headers.get("content-type", "").startswith(EVENT_STREAM)


class SyncDriver:
    """Drives flows on the calling thread.

    :param http: sends the requests.
    """

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def call(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
        performer, outcome = _Performer(self.http), None
        try:
            while True:
                outcome = performer.perform(flow.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    def iterate(self, flow: StreamFlow[T]) -> Generator[T, None, None]:
        """Drive a flow, and yield what it emits."""
        outcome: Any = None
        # A caller that leaves the loop early closes this generator, which closes the connection.
        with contextlib.closing(_Performer(self.http)) as performer, contextlib.closing(flow):
            while True:
                try:
                    action = flow.send(outcome)
                except StopIteration:
                    return
                if isinstance(action, Emit):
                    outcome = None
                    yield action.item
                else:
                    outcome = performer.perform(action)


class _Performer:
    """Performs the actions of one flow, which may have a stream open."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._stream: httpx2.Response | None = None
        self._events: Iterator[httpx2.ServerSentEvent] = iter(())

    def perform(self, action: Action) -> Any:
        """The outcome of an action."""
        try:
            match action:
                case Read():
                    return next(self._events, None)
                case Send(request):
                    return self._http.send(request)
                case Open(request):
                    return self._open(request)
                case Sleep(seconds):
                    return clock.block(seconds)
        except httpx2.RequestError as error:
            return error

    def _open(self, request: httpx2.Request) -> httpx2.Response:
        self.close()  # before the next one is sent: an open answer keeps its connection from the others
        # Kept before its body is read, so that it is closed if the reading fails.
        self._stream = answer = self._http.send(request, stream=True)
        if not is_event_stream(answer):
            answer.read()
        self._events = iter(httpx2.EventSource(answer, max_event_size=None))
        return answer

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()


class AsyncDriver:
    """Drives flows on the running event loop.

    :param http: sends the requests.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def call(self, flow: Flow[T]) -> T:
        """Drive a flow to its result."""
        performer, outcome = _AsyncPerformer(self.http), None
        try:
            while True:
                outcome = await performer.perform(flow.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    async def iterate(self, flow: StreamFlow[T]) -> AsyncGenerator[T, None]:
        """Drive a flow, and yield what it emits."""
        outcome: Any = None
        async with contextlib.aclosing(_AsyncPerformer(self.http)) as performer:
            with contextlib.closing(flow):
                while True:
                    try:
                        action = flow.send(outcome)
                    except StopIteration:
                        return
                    if isinstance(action, Emit):
                        outcome = None
                        yield action.item
                    else:
                        outcome = await performer.perform(action)


class _AsyncPerformer:
    """Performs the actions of one flow, which may have a stream open."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._stream: httpx2.Response | None = None
        self._events: AsyncIterator[httpx2.ServerSentEvent] | None = None

    async def perform(self, action: Action) -> Any:
        """The outcome of an action."""
        try:
            match action:
                case Read():
                    return None if self._events is None else await anext(self._events, None)
                case Send(request):
                    return await self._http.send(request)
                case Open(request):
                    return await self._open(request)
                case Sleep(seconds):
                    return await clock.sleep(seconds)
        except httpx2.RequestError as error:
            return error

    async def _open(self, request: httpx2.Request) -> httpx2.Response:
        await self.aclose()
        self._stream = answer = await self._http.send(request, stream=True)
        if not is_event_stream(answer):
            await answer.aread()
        self._events = aiter(httpx2.EventSource(answer, max_event_size=None))
        return answer

    async def aclose(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            await self._stream.aclose()
