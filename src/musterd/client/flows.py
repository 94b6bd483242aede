"""Calls written once for both clients.

A call is a generator, as httpx's authentication flows are. It yields what it needs from the outside as an action
(:class:`Send`, :class:`Sleep`, …), is sent the outcome, and returns its result. A driver performs the actions: one for
:class:`musterd.Client`, one for :class:`musterd.AsyncClient` (:mod:`musterd.client.drivers`). Failures of the network
are outcomes too, so a flow decides about retries without an ``except``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

import httpx2

if TYPE_CHECKING:
    from .drivers import AsyncDriver, SyncDriver
    from .requests import Requests

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", bound="SyncDriver | AsyncDriver")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request. The outcome is the answer with its body, or the error of the network."""

    request: httpx2.Request


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request whose answer is a stream, in place of an open one. Of an error the body is read as well."""

    request: httpx2.Request


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next event of the open stream. The outcome is None at its end, or the error of the network."""


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """Hand an item to the caller that iterates. There is no outcome."""

    item: T


Failure = httpx2.RequestError
"""What an action that uses the network may have as its outcome in place of a value."""

Action: TypeAlias = Send | Sleep | Open | Read
Flow: TypeAlias = Generator[Action, Any, T]
"""A call that returns a ``T``."""
StreamFlow: TypeAlias = Generator[Action | Emit[T], Any, None]
"""A call that emits ``T`` after ``T``."""


def send(request: httpx2.Request) -> Flow[httpx2.Response | Failure]:
    """Perform :class:`Send`."""
    outcome: httpx2.Response | Failure = yield Send(request)
    return outcome


def open_stream(request: httpx2.Request) -> Flow[httpx2.Response | Failure]:
    """Perform :class:`Open`."""
    outcome: httpx2.Response | Failure = yield Open(request)
    return outcome


def read_event() -> Flow[httpx2.ServerSentEvent | Failure | None]:
    """Perform :class:`Read`."""
    outcome: httpx2.ServerSentEvent | Failure | None = yield Read()
    return outcome


class Resource(Generic[D]):
    """An object with calls.

    :param driver: performs the actions of its calls, which decides whether they block or are awaited.
    :param requests: sends the requests of its calls.
    """

    def __init__(self, driver: D, requests: Requests) -> None:
        self._driver: D = driver
        self._requests = requests


class call(Generic[P, T]):  # noqa: N801 - a decorator
    """Make a flow a method: one that blocks on a :class:`musterd.Client`, one to await on an ``AsyncClient``."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        @wraps(flow)
        def method(resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._driver.call(flow(resource, *args, **kwargs))

        self._method = method
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Callable[..., Any]: ...
    @overload
    def __get__(self, instance: Resource[SyncDriver], owner: type[Any]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Resource[AsyncDriver], owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type[Any]) -> Callable[..., Any]:
        """The method, bound to the resource."""
        return self._method if instance is None else MethodType(self._method, instance)


class stream_call(Generic[P, T]):  # noqa: N801 - a decorator
    """Make a flow that emits a method: one that iterates on a ``Client``, ``async for`` on an ``AsyncClient``."""

    def __init__(self, flow: Callable[Concatenate[Any, P], StreamFlow[T]]) -> None:
        @wraps(flow)
        def method(resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._driver.iterate(flow(resource, *args, **kwargs))

        self._method = method
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Callable[..., Any]: ...
    @overload
    def __get__(self, instance: Resource[SyncDriver], owner: type[Any]) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, instance: Resource[AsyncDriver], owner: type[Any]) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, instance: Resource[Any] | None, owner: type[Any]) -> Callable[..., Any]:
        """The method, bound to the resource."""
        return self._method if instance is None else MethodType(self._method, instance)
