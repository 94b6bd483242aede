"""Identifiers in paths. They may hold a slash, written ``%2F``: it must not part the path."""

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

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


def path_identifier(request: Request, name: str) -> str:
    """The identifier ``name`` of the request's path.

    :raises InvalidInput: it is none.
    """
    return require_identifier(request.path_params[name].replace(_SLASH, "/"), ("path", name))
