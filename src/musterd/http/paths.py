"""Identifiers in paths. They may hold a slash, written ``%2F``: it must not part the path."""

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from musterd.core.errors import NotFound
from musterd.core.ids import require_identifier

_SLASH, _NO_SLASH = "\x1f", "\x1e"
"""What stands for an escaped slash while a path is routed; no identifier may hold either."""

_ESCAPED = re.compile(rb"%(?:2f|1f)", re.IGNORECASE)


class EscapedSlashes:
    """Keeps escaped slashes apart from those that part a path: servers unescape both alike."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        raw: bytes = scope.get("raw_path") or b"" if scope["type"] == "http" else b""
        if _ESCAPED.search(raw):
            parts = [unquote(part).replace(_SLASH, _NO_SLASH) for part in raw.decode("latin-1").split("/")]
            if "/".join(parts).replace(_NO_SLASH, _SLASH) == scope["path"]:
                scope = {**scope, "path": "/".join(part.replace("/", _SLASH) for part in parts)}
        await self._app(scope, receive, send)


class NearPath:
    """Sends who put a slash too many or too few at the end to the path that is there.

    Starlette would send it to a whole address, made of the ``Host`` that the client named and of the scheme that the
    server speaks: behind a proxy with TLS the key would go there in the clear.
    """

    def __init__(self, router: Router) -> None:
        self._routes = router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a path that is none."""
        path = scope["path"]
        near = path.rstrip("/") if path.endswith("/") else f"{path}/"
        is_there = near and any(route.matches({**scope, "path": near})[0] is not Match.NONE for route in self._routes)
        raw: bytes = scope.get("raw_path") or path.encode()
        if not is_there or raw.startswith(b"//"):
            raise NotFound("Not Found")
        text = raw.decode("latin-1")
        place = text.rstrip("/") if text.endswith("/") else f"{text}/"
        query = scope["query_string"].decode("latin-1")
        await RedirectResponse(f"{place}?{query}" if query else place)(scope, receive, send)


def path_identifier(request: Request, name: str) -> str:
    """The identifier ``name`` of the request's path.

    :raises InvalidInput: it is none.
    """
    return require_identifier(request.path_params[name].replace(_SLASH, "/"), ("path", name))
