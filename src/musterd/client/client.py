"""The two clients."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import httpx2

from musterd.client.drivers import AsyncDriver, SyncDriver
from musterd.client.flows import D
from musterd.client.lists import Approvals, Components, Runs, Sessions, Traces
from musterd.client.run_calls import RunCalls

DEFAULT_URL = "http://127.0.0.1:7777"
RETRY_SECONDS = 30.0


class _AnyClient(RunCalls[D]):
    """What both clients have."""

    def __init__(self, driver: D, retry_seconds: float) -> None:
        super().__init__(driver, retry_seconds)
        self.teams = Components(driver, retry_seconds, "team")
        self.agents = Components(driver, retry_seconds, "agent")
        self.workflows = Components(driver, retry_seconds, "workflow")
        self.runs = Runs(driver, retry_seconds)
        self.sessions = Sessions(driver, retry_seconds)
        self.approvals = Approvals(driver, retry_seconds)
        self.traces = Traces(driver, retry_seconds)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._driver.http.base_url.copy_with(userinfo=b''))!r})"


class Client(_AnyClient[SyncDriver]):
    """A client of a musterd server, whose calls block.

    Calls that fail for a while, as during a restart, are tried again; a run is never started twice.

    :param url: of the server; by default ``MUSTERD_URL``, otherwise ``http://127.0.0.1:7777``.
    :param token: the server's key, or a token; by default ``MUSTERD_TOKEN``.
    :param retry_seconds: for how long a call that fails is tried again; 0: once.
    :param http: sends the requests, in place of a client of its own: for proxies, certificates and the like. Its
        ``base_url`` and headers are set.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
        http: httpx2.Client | None = None,
    ) -> None:
        super().__init__(SyncDriver(http or httpx2.Client()), retry_seconds)
        _set_up(self._driver.http, url, token)

    def close(self) -> None:
        """Close its connections."""
        self._driver.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_AnyClient[AsyncDriver]):
    """A client of a musterd server, whose calls are awaited. Its parameters are those of :class:`Client`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        super().__init__(AsyncDriver(http or httpx2.AsyncClient()), retry_seconds)
        _set_up(self._driver.http, url, token)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._driver.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _set_up(http: httpx2.Client | httpx2.AsyncClient, url: str | None, token: str | None) -> None:
    http.base_url = url or os.environ.get("MUSTERD_URL") or DEFAULT_URL
    if token := token or os.environ.get("MUSTERD_TOKEN"):
        http.headers["Authorization"] = f"Bearer {token}"
