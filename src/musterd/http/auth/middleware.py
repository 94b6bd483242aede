"""The place at the border where it is found out who asks, and whether they ask too often."""

import asyncio
import contextlib

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from musterd.core.errors import RequestError, WrongToken
from musterd.core.metrics import Metrics
from musterd.http.auth.authenticator import Authenticator
from musterd.http.auth.principals import Principal
from musterd.http.auth.rate_limits import Limits, network_of

log = structlog.get_logger("musterd.http")

OPEN_PATHS = frozenset({"/", "/health", "/info", "/-/live", "/-/ready", "/docs", "/redoc", "/openapi.json"})
TELLS_MORE = frozenset({"/-/ready"})
"""What is open and tells an administrator more."""
RECOGNISED_SECONDS = 1.0
"""How long it may take to find out who that is: what is open is answered while the database is away, too."""
OPEN_FOLDERS = ("/ui/", "/docs/", "/redoc/")


class Identity:
    """Lets in whoever may ask at all, before anything of the request's body is read.

    What it finds stands in the request's state: ``caller`` for use cases, ``principal`` for scopes, ``validity`` for
    streams and waiting requests.

    :param figures: where wrong keys and tokens are counted.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in TELLS_MORE:
                principal = await self._recognise(scope)
            else:
                principal = self._authenticator.unasked if is_open(path) else await self._let_in(scope)
            validity = self._authenticator.validity(principal)
            scope.setdefault("state", {}).update(principal=principal, caller=principal.caller, validity=validity)
        await self._app(scope, receive, send)

    async def _recognise(self, scope: Scope) -> Principal:
        """Who asks for what is open: nobody, unless that is shown and right, and can be found out now."""
        if self._authenticator.is_asked(Headers(scope=scope).getlist("authorization")):
            with contextlib.suppress(RequestError, TimeoutError):
                async with asyncio.timeout(RECOGNISED_SECONDS):
                    return await self._let_in(scope)
        return self._authenticator.unasked

    async def _let_in(self, scope: Scope) -> Principal:
        address = network_of((scope.get("client") or ("",))[0])
        shown = Headers(scope=scope).getlist("authorization")
        if self._authenticator.is_asked(shown):
            self._limits.require_unsuspected(address)
        try:
            principal = await self._authenticator.principal(shown)
        except WrongToken as error:
            self._limits.was_wrong(address)
            self._metrics.wrong_tokens.add()
            log.warning("a wrong key or token was shown", address=address, path=scope["path"], why=error.message)
            raise
        self._limits.admit(principal.name, address)
        return principal


def is_open(path: str) -> bool:
    """Whether a path is answered to everybody."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
