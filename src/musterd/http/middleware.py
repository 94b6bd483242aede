"""ASGI middleware that every request passes.

From the outside in: request id and log line, security headers, CORS, errors, Host and Origin, authentication
(:mod:`musterd.http.auth`), and the size of the body.
"""

import re
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.core import clock, trace_context
from musterd.core.errors import BadRequest, Forbidden, RequestError
from musterd.core.loopback import is_loopback
from musterd.core.metrics import Metrics
from musterd.core.settings import Settings
from musterd.http.auth.middleware import is_open
from musterd.http.responses import error_answer

log = structlog.get_logger("musterd.http")

NO_OPERATION = "none"
"""The metrics label of a request that reaches no operation: middleware rejected it, or its path does not exist."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SERVED = frozenset({"http", "websocket"})
"""The types of scopes that are requests of clients."""
SOCKET = "WEBSOCKET"
"""In place of the method of a request, for a WebSocket."""
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
ANY_ORIGIN = "*"
LOOPBACK_NAMES = frozenset({"localhost"})
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Set unless a response has its own: browsers must not guess its type, show it in a frame, or load anything for it."""

NO_CACHING = "no-store"
"""The ``Cache-Control`` of responses to authenticated callers."""
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\[\]:/@?#]+)(?::\d{1,5})?")
_REQUEST_ID = re.compile(r"[\w.:\-]{1,128}", re.ASCII)


class RequestLog:
    """Gives every request an id (the client's or a new one), returns it in the response, and counts and logs responses.

    :param logs_requests: whether to log each request at level info; otherwise the level is debug.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, logs_requests: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log.info if logs_requests else log.debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in SERVED:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client_id = headers.get("x-request-id", "")
        request_id = client_id if _REQUEST_ID.fullmatch(client_id) else clock.new_id()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, started, metrics = 0, clock.monotonic(), self._metrics

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                operation = state.get("operation", NO_OPERATION)
                metrics.requests.add(operation, f"{status // 100}xx")
                metrics.request_seconds.observe(clock.monotonic() - started, operation)
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        log_context = {"request_id": request_id}
        if (traceparent := trace_context.parse_traceparent(headers.get(trace_context.HEADER, ""))) is not None:
            log_context["trace_id"] = trace_context.trace_id(traceparent)
        trace_context.incoming.set(traceparent)
        with structlog.contextvars.bound_contextvars(**log_context):
            try:
                await self._app(scope, receive, send_with_id)
            finally:  # also log a response that was interrupted
                self._log(
                    "answered",
                    method=scope.get("method", SOCKET),
                    path=scope["path"],
                    operation=state.get("operation", NO_OPERATION),
                    status=status,
                    seconds=round(clock.monotonic() - started, 4),
                )


class SecurityHeaders:
    """Adds security headers for browsers to every response, including errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers_to_add = dict(DEFAULT_HEADERS)
        if not is_open(scope["path"].removeprefix(scope.get("root_path", ""))):
            headers_to_add["Cache-Control"] = NO_CACHING

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in headers_to_add.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Errors:
    """Turns exceptions into error responses. Unexpected ones are logged, and the client gets a generic message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in SERVED:
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except RequestError as error:
            request_error = error
        except ClientDisconnect:  # the client has gone in the middle of its request
            return
        except Exception as error:
            log.exception("request failed", method=scope.get("method", SOCKET), path=scope["path"], exc_info=error)
            request_error = RequestError("Internal server error")
        else:
            return
        if has_started:  # too late for an error response: the server closes the connection
            raise request_error
        await error_answer(request_error, scope["state"]["request_id"])(scope, receive, send)


@dataclass(frozen=True, slots=True)
class HostRules:
    """The allowed host names, and the origins whose pages may make requests that write.

    :param hosts: allowed names in ``Host``; empty to allow any, for a server that other machines can reach.
    :param origins: allowed foreign values of ``Origin``.
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, *, is_loopback: bool) -> "HostRules":
        """The rules of a server with these settings."""
        hosts = LOOPBACK_NAMES | {host.lower() for host in settings.allowed_hosts} if is_loopback else frozenset()
        return cls(frozenset(hosts), frozenset(settings.cors_origins))


class HostCheck:
    """Checks ``Host`` and then ``Origin``, before any of the body is read."""

    def __init__(self, app: ASGIApp, rules: HostRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or reject it."""
        if scope["type"] in SERVED:
            headers = Headers(scope=scope)
            self._check_host(headers.getlist("host"))
            self._check_origin(scope, headers)
        await self._app(scope, receive, send)

    def _check_host(self, hosts: list[str]) -> None:
        """Prevent DNS rebinding: a page must not reach this server by pointing a name of its own at this address."""
        if not self._rules.hosts:
            return
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        # An address of the loopback cannot be used for DNS rebinding.
        if name not in self._rules.hosts and not is_loopback(name):
            raise BadRequest("The server does not accept this Host header; add the host to MUSTERD_ALLOWED_HOSTS.")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Reject writes from a foreign origin: without a CORS preflight, any page could send forms and open sockets."""
        origin = headers.get("origin")
        if origin is None or scope.get("method", SOCKET) in SAFE_METHODS or {origin, ANY_ORIGIN} & self._rules.origins:
            return
        if not _is_origin_of(origin, scope["scheme"], headers.get("host", "")):
            raise Forbidden("Pages of this Origin may not change data; add the origin to MUSTERD_CORS_ORIGINS.")


def _is_origin_of(origin: str, scheme: str, host: str) -> bool:
    """Whether ``Origin`` is the address that the request was sent to; behind a proxy the scheme may differ."""
    origin_scheme, _, origin_host = origin.partition("://")
    return origin_scheme in (_HTTP_SCHEMES.get(scheme, scheme), "https") and origin_host.lower() == host.strip().lower()


def _host_name(host: str) -> str:
    """The name in a ``Host`` header, without port and trailing dot; "" if the header is malformed."""
    match = _HOST.fullmatch(host.strip().lower())
    return match[1].removesuffix(".") if match else ""
