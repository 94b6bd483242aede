"""Identifiers in paths. They may contain a slash, escaped as ``%2F``, which must not separate path segments."""

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from musterd.core.errors import InvalidInput, NotFound
from musterd.core.ids import require_identifier

SOCKET_PATH = "/workflows/ws"
"""The only path that is served as a WebSocket."""

_SLASH, _NO_SLASH = "\x1f", "\x1e"
"""Placeholders for an escaped slash during routing; identifiers may not contain either of them."""

_MAX_DIGITS = 9
_ESCAPED = re.compile(rb"%(?:2f|1f)", re.IGNORECASE)


class EscapedSlashes:
    """Replaces escaped slashes by placeholders, because servers unescape them before routing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        raw: bytes = scope.get("raw_path") or b"" if scope["type"] == "http" else b""
        if _ESCAPED.search(raw):
            segments = [unquote(segment).replace(_SLASH, _NO_SLASH) for segment in raw.decode("latin-1").split("/")]
            if "/".join(segments).replace(_NO_SLASH, _SLASH) == scope["path"]:
                scope = {**scope, "path": "/".join(segment.replace("/", _SLASH) for segment in segments)}
        await self._app(scope, receive, send)


class SlashRedirect:
    """Redirects a path with a superfluous or missing slash at the end to the existing path.

    Starlette would redirect to an absolute URL with the client's ``Host`` and the server's own scheme. Behind a proxy
    with TLS, the client would then send its key unencrypted.
    """

    def __init__(self, router: Router) -> None:
        self._routes = router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect a path that has no route, or answer 404."""
        path = scope["path"]
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        exists = other and any(route.matches({**scope, "path": other})[0] is not Match.NONE for route in self._routes)
        raw: bytes = scope.get("raw_path") or path.encode()
        if not exists or raw.startswith(b"//"):  # browsers take a location with // as the name of another host
            raise NotFound("Not Found")
        text = raw.decode("latin-1")
        location = text.rstrip("/") if text.endswith("/") else f"{text}/"
        query = scope["query_string"].decode("latin-1")
        await RedirectResponse(f"{location}?{query}" if query else location)(scope, receive, send)


def path_identifier(request: Request, name: str) -> str:
    """The path parameter ``name`` of a request, as an identifier.

    :raises InvalidInput: it is not a valid identifier.
    """
    return require_identifier(request.path_params[name].replace(_SLASH, "/"), ("path", name))


def path_number(request: Request, name: str) -> int:
    """The path parameter ``name`` of a request, as a whole number of at most nine digits.

    :raises InvalidInput: it is not such a number.
    """
    text: str = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidInput.at(("path", name), "int_parsing", "Input should be a valid integer")
    return int(text)
