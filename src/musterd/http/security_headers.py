"""Security headers for browsers, on every response including errors."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.http.auth.middleware import is_open

DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Set unless a response has its own: browsers must not guess its type, show it in a frame, or load anything for it."""

NO_CACHING = "no-store"
"""The ``Cache-Control`` of responses to authenticated callers."""


class SecurityHeaders:
    """Adds the headers."""

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
