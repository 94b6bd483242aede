"""The two clients."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from .approvals import Approvals
from .components import Components
from .drivers import AsyncDriver, SyncDriver
from .flows import D
from .knowledge import Knowledge
from .memories import Memories
from .requests import Requests
from .run_calls import RunCalls
from .run_lists import Runs
from .schedules import Schedules
from .sessions import Sessions
from .traces import Traces

DEFAULT_URL = "http://127.0.0.1:7777"
RETRY_SECONDS = 30.0
MAX_CONNECTIONS = 1000
"""Each wait and each stream holds a connection."""
MAX_IDLE_CONNECTIONS = 100
_TOKEN = re.compile(r"[\x20-\x7e]*")


class _AnyClient(RunCalls[D]):
    """What both clients have."""

    def __init__(self, driver: D, retry_seconds: float) -> None:
        requests = Requests(driver.http, retry_seconds)
        super().__init__(driver, requests)
        self.teams = Components(driver, requests, "team")
        self.agents = Components(driver, requests, "agent")
        self.workflows = Components(driver, requests, "workflow")
        self.runs = Runs(driver, requests)
        self.sessions = Sessions(driver, requests)
        self.approvals = Approvals(driver, requests)
        self.traces = Traces(driver, requests)
        self.memories = Memories(driver, requests)
        self.knowledge = Knowledge(driver, requests)
        self.schedules = Schedules(driver, requests)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._driver.http.base_url.copy_with(userinfo=b''))!r})"


class Client(_AnyClient[SyncDriver]):
    """A client of a musterd server, whose calls block.

    Calls that fail for a while, as during a restart, are retried; a run is never started twice.

    :param url: of the server; by default ``MUSTERD_URL``, otherwise ``http://127.0.0.1:7777``. Proxies of the
        environment (``HTTPS_PROXY`` and the like) are used, except to reach this machine.
    :param token: the server's key, or a token; by default ``MUSTERD_TOKEN``.
    :param retry_seconds: for how long a call that fails is retried; 0: once.
    :param http: sends the requests, in place of ``url`` and ``token``: an httpx2 client with a ``base_url`` and headers
        of its own, for certificates, proxies and the like.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
        http: httpx2.Client | None = None,
    ) -> None:
        super().__init__(SyncDriver(http or httpx2.Client(**http_options(url, token))), retry_seconds)

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
        super().__init__(AsyncDriver(http or httpx2.AsyncClient(**http_options(url, token))), retry_seconds)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._driver.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def http_options(url: str | None, token: str | None) -> dict[str, Any]:
    """How a client sends requests, unless the caller has one that does: the parameters of an httpx2 client.

    :raises ValueError: the URL is not one, or the token none. The message repeats neither.
    """
    url = url or os.environ.get("MUSTERD_URL") or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _is_host(url):
        raise ValueError(f"this is not the URL of a server, such as {DEFAULT_URL}")  # it may have a password
    token = checked_token(token or os.environ.get("MUSTERD_TOKEN") or "")
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {token}"} if token else {},
        "limits": httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS),
        # Reading the certificates of the machine takes longer than a call. Without them, no TLS connection is trusted.
        "verify": True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        # A proxy has another loopback than this machine, and would be sent the token.
        "trust_env": not is_loopback(parts.hostname),
    }


def _is_host(url: str) -> bool:
    """Whether the host of a URL can be looked up: no part of its name is empty or longer than 63 characters."""
    try:
        httpx2.URL(url).raw_host.decode("ascii").encode("idna")  # as the look-up does
    except (httpx2.InvalidURL, UnicodeError):
        return False
    return True


def checked_token(token: str) -> str:
    """A token without the white space around it, such as the end of the line of a file.

    :raises ValueError: an HTTP header cannot have it.
    """
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise ValueError("the token has characters that an HTTP header cannot have")  # it is not repeated: a secret
    return token


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its loopback."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
