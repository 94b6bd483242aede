"""The border of HTTP: every request passes it once on its way in, every answer once on its way out.

From the outside in: request id and log line, CORS, Host and Origin, the key, the size of the body, errors.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.core import clock, trace
from musterd.core.errors import (
    BadRequest,
    Forbidden,
    PayloadTooLarge,
    RequestError,
    StoreUnavailable,
    Unauthenticated,
)
from musterd.core.figures import Figures
from musterd.core.settings import Settings
from musterd.http.answers import error_answer

log = structlog.get_logger("musterd.http")

OPEN_PATHS = frozenset({"/", "/health", "/info", "/-/live", "/-/ready", "/docs", "/redoc", "/openapi.json"})
OPEN_FOLDERS = ("/ui/", "/docs/", "/redoc/")
NO_OPERATION = "none"
"""What a request is counted under that reaches no operation: refused at the border, or no such path."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\[\]:/@?#]+)(?::\d{1,5})?")
_REQUEST_ID = re.compile(r"[\w.:\-]{1,128}")


class RequestIds:
    """Gives every request an id, its own or a new one, returns it, counts and logs what was answered.

    :param says_all: whether there is a log line for every request, and not for whoever debugs alone.
    """

    def __init__(self, app: ASGIApp, figures: Figures, *, says_all: bool = False) -> None:
        self._app = app
        self._figures = figures
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
        status, started, figures = 0, clock.monotonic(), self._figures

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                operation = state.get("operation", NO_OPERATION)
                figures.requests.add(operation, f"{status // 100}xx")
                figures.request_seconds.observe(clock.monotonic() - started, operation)
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        carried = {"request_id": request_id}
        if (traceparent := trace.parsed(headers.get(trace.HEADER, ""))) is not None:
            carried["trace_id"] = trace.trace_id(traceparent)
        trace.incoming.set(traceparent)
        with structlog.contextvars.bound_contextvars(**carried):
            await self._app(scope, receive, send_with_id)
            seconds = clock.monotonic() - started
            self._say(
                "answered",
                method=scope["method"],
                path=scope["path"],
                operation=state.get("operation", NO_OPERATION),
                status=status,
                seconds=round(seconds, 4),
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
        except HTTPException as error:
            answer = from_http_exception(error)
        except ClientDisconnect:  # in the middle of its request: nobody is left to be answered
            return
        except Exception as error:
            log.exception("request failed", method=scope["method"], path=scope["path"], exc_info=error)
            answer = RequestError("Internal server error")
        else:
            return
        if has_begun:
            raise answer
        if isinstance(answer, StoreUnavailable):
            log.warning("answered 503: database", method=scope["method"], path=scope["path"])
        await error_answer(answer, scope["state"]["request_id"])(scope, receive, send)


def from_http_exception(error: HTTPException) -> RequestError:
    """An error of the framework as one of ours."""
    known: dict[int, type[RequestError]] = {kind.status: kind for kind in _all_kinds(RequestError)}
    kind = known.get(error.status_code)
    if kind is None:
        kind = type("HttpError", (RequestError,), {"status": error.status_code, "code": _code(error.status_code)})
    return kind(str(error.detail))


def _all_kinds(kind: type[RequestError]) -> Iterable[type[RequestError]]:
    for below in kind.__subclasses__():
        if "status" in vars(below):
            yield below
        yield from _all_kinds(below)


def _code(status: int) -> str:
    return {405: "METHOD_NOT_ALLOWED"}.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_SERVER_ERROR")


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in: the key, the names this server answers to, the origins whose pages may write.

    :param hosts: names that a ``Host`` may have; empty: any, for a server that is reachable from elsewhere.
    """

    key: str
    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: Settings, *, is_loopback: bool) -> "Doors":
        """The doors of a server with these settings."""
        hosts = LOOPBACK_NAMES | {host.lower() for host in settings.allowed_hosts} if is_loopback else frozenset()
        return cls(settings.security_key, frozenset(hosts), frozenset(settings.cors_origins))


class Gate:
    """Checks ``Host``, ``Origin`` and the key, in this order, before anything of the request is read."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_key(scope, headers)
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page that points a name of its own at this address is not let in (DNS rebinding)."""
        if self._doors.hosts and _host_name(headers.get("host", "")) not in self._doors.hosts:
            raise BadRequest("This Host is not served here; add it to MUSTERD_ALLOWED_HOSTS.")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Forms need no preflight: any page could start runs, so a foreign Origin may not write."""
        origin = headers.get("origin")
        if origin is None or scope["method"] in SAFE_METHODS or origin in self._doors.origins:
            return
        if not _is_origin_of(origin, scope["scheme"], headers.get("host", "")):
            raise Forbidden("This Origin may not write here; add it to MUSTERD_CORS_ORIGINS.")

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        key = self._doors.key
        if not key or is_open(scope["path"].removeprefix(scope.get("root_path", ""))) or scope["method"] == "OPTIONS":
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("Authorization header required")
        if not hmac.compare_digest(token.strip().encode("latin-1"), key.encode()):  # headers are read as latin-1
            raise Unauthenticated("Invalid authentication token")


def is_open(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _is_origin_of(origin: str, scheme: str, host: str) -> bool:
    """Whether ``Origin`` names the address that the request was sent to; behind a proxy the scheme may differ."""
    own, _, place = origin.partition("://")
    return own in (scheme, "https") and place.lower() == host.strip().lower()


def _host_name(host: str) -> str:
    """The name in a ``Host`` header, without the port and the root's dot; "" when it is none."""
    found = _HOST.fullmatch(host.strip().lower())
    return found[1].removesuffix(".") if found else ""


class BodyLimit:
    """Refuses a body that is longer than the server takes, however its length is told."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isdigit() and int(told) > self._limit:
            raise self._refusal()
        read = 0

        async def receive_counting() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self._limit:
                    raise self._refusal()
            return message

        await self._app(scope, receive_counting, send)

    def _refusal(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The request body is larger than {self._limit // 1024} KiB.")
