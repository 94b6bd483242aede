"""Headers that keep a browser from making more of an answer than it is: on every answer, errors too."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.http.auth.middleware import is_open

FOR_ALL = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Unless an answer has its own: no page guesses its type, shows it in a frame, or lets it load anything."""

NOT_KEPT = "no-store"
"""How long anybody may keep what was answered to one caller."""


class SafeHeaders:
    """Adds them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = dict(FOR_ALL)
        if not is_open(scope["path"].removeprefix(scope.get("root_path", ""))):
            added["Cache-Control"] = NOT_KEPT

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)
