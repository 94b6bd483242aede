"""The border of HTTP: every request passes it once on its way in, every answer once on its way out.

From the outside in: request id and log line, CORS, errors, Host and Origin, who asks (:mod:`musterd.http.auth`), the
size of the body.
"""

import ipaddress
import re
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.core import clock, trace_context
from musterd.core.errors import BadRequest, Forbidden, RequestError
from musterd.core.metrics import Metrics
from musterd.core.settings import Settings
from musterd.http.responses import error_answer

log = structlog.get_logger("musterd.http")

NO_OPERATION = "none"
"""What a request is counted under that reaches no operation: refused at the border, or no such path."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANY_ORIGIN = "*"
LOOPBACK_NAMES = frozenset({"localhost"})
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\[\]:/@?#]+)(?::\d{1,5})?")
_REQUEST_ID = re.compile(r"[\w.:\-]{1,128}", re.ASCII)


class RequestIds:
    """Gives every request an id, its own or a new one, returns it, counts and logs what was answered.

    :param says_all: whether there is a log line for every request, and not for whoever debugs alone.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, *, says_all: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._say = log.info if says_all else log.debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else clock.new_id()
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

        carried = {"request_id": request_id}
        if (traceparent := trace_context.parsed(headers.get(trace_context.HEADER, ""))) is not None:
            carried["trace_id"] = trace_context.trace_id(traceparent)
        trace_context.incoming.set(traceparent)
        with structlog.contextvars.bound_contextvars(**carried):
            try:
                await self._app(scope, receive, send_with_id)
            finally:  # an answer that breaks off is one too
                self._say(
                    "answered",
                    method=scope["method"],
                    path=scope["path"],
                    operation=state.get("operation", NO_OPERATION),
                    status=status,
                    seconds=round(clock.monotonic() - started, 4),
                )


class Errors:
    """Turns what is raised inside into an answer. What went wrong goes to the log, words for clients go out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except RequestError as error:
            answer = error
        except ClientDisconnect:  # in the middle of its request: nobody is left to be answered
            return
        except Exception as error:
            log.exception("request failed", method=scope["method"], path=scope["path"], exc_info=error)
            answer = RequestError("Internal server error")
        else:
            return
        if has_begun:
            raise answer
        await error_answer(answer, scope["state"]["request_id"])(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in: the names this server answers to, the origins whose pages may write.

    :param hosts: names that a ``Host`` may have; empty: any, for a server that is reachable from elsewhere.
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, *, is_loopback: bool) -> "Doors":
        """The doors of a server with these settings."""
        hosts = LOOPBACK_NAMES | {host.lower() for host in settings.allowed_hosts} if is_loopback else frozenset()
        return cls(frozenset(hosts), frozenset(settings.cors_origins))


class Gate:
    """Checks ``Host`` and ``Origin``, in this order, before anything of the request is read."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_host(headers.getlist("host"))
            self._check_origin(scope, headers)
        await self._app(scope, receive, send)

    def _check_host(self, hosts: list[str]) -> None:
        """A page that points a name of its own at this address is not let in (DNS rebinding)."""
        if not self._doors.hosts:
            return
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._doors.hosts and not _is_loopback(name):
            raise BadRequest("This Host is not served here; add it to MUSTERD_ALLOWED_HOSTS.")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Forms need no preflight: any page could start runs, so a foreign Origin may not write."""
        origin = headers.get("origin")
        if origin is None or scope["method"] in SAFE_METHODS or {origin, ANY_ORIGIN} & self._doors.origins:
            return
        if not _is_origin_of(origin, scope["scheme"], headers.get("host", "")):
            raise Forbidden("This Origin may not write here; add it to MUSTERD_CORS_ORIGINS.")


def _is_origin_of(origin: str, scheme: str, host: str) -> bool:
    """Whether ``Origin`` names the address that the request was sent to; behind a proxy the scheme may differ."""
    own, _, place = origin.partition("://")
    return own in (scheme, "https") and place.lower() == host.strip().lower()


def _host_name(host: str) -> str:
    """The name in a ``Host`` header, without the port and the root's dot; "" when it is none."""
    found = _HOST.fullmatch(host.strip().lower())
    return found[1].removesuffix(".") if found else ""


def _is_loopback(name: str) -> bool:
    """Whether it is an address of loopback: then it is no name that anybody could point elsewhere."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
