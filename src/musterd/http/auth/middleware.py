"""The middleware that authenticates requests and applies rate limits."""

import asyncio
import contextlib

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from musterd.core.errors import RequestError, WrongToken
from musterd.core.metrics import Metrics
from musterd.http.auth.authenticator import Authenticator
from musterd.http.auth.principals import Principal
from musterd.http.auth.rate_limits import RateLimits, network_of

log = structlog.get_logger("musterd.http")

OPEN_PATHS = frozenset({"/", "/health", "/info", "/-/live", "/-/ready", "/docs", "/redoc", "/openapi.json", "/ui"})
OPTIONAL_AUTH_PATHS = frozenset({"/-/ready"})
"""Open paths that tell an administrator more, so that credentials are checked if there are any."""
OPTIONAL_AUTH_SECONDS = 1.0
"""How long that check may take: open paths must also be answered while the database is unavailable."""
OPEN_FOLDERS = ("/ui/", "/docs/", "/redoc/")


class Authentication:
    """Authenticates a request before any of its body is read.

    It sets the request's state: ``caller`` for services, ``principal`` for scope checks, and ``validity`` for streams
    and waiting requests.

    :param metrics: counts wrong keys and tokens.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: RateLimits, metrics: Metrics) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in OPTIONAL_AUTH_PATHS:
                principal = await self._authenticate_if_possible(scope)
            else:
                principal = self._authenticator.unauthenticated if is_open(path) else await self._authenticate(scope)
            validity = self._authenticator.validity(principal)
            scope.setdefault("state", {}).update(principal=principal, caller=principal.caller, validity=validity)
        await self._app(scope, receive, send)

    async def _authenticate_if_possible(self, scope: Scope) -> Principal:
        """The principal of a request for an open path, which is answered even if authentication fails."""
        if self._authenticator.checks(Headers(scope=scope).getlist("authorization")):
            with contextlib.suppress(RequestError, TimeoutError):
                async with asyncio.timeout(OPTIONAL_AUTH_SECONDS):
                    return await self._authenticate(scope)
        return self._authenticator.unauthenticated

    async def _authenticate(self, scope: Scope) -> Principal:
        address = network_of((scope.get("client") or ("",))[0])
        authorization = Headers(scope=scope).getlist("authorization")
        # Check the limit before the credentials, so that a blocked address does not learn whether a guess is right.
        if self._authenticator.checks(authorization):
            self._limits.require_few_failures(address)
        try:
            principal = await self._authenticator.principal(authorization)
        except WrongToken as error:
            self._limits.count_failure(address)
            self._metrics.wrong_tokens.add()
            log.warning("wrong key or token", address=address, path=scope["path"], reason=error.message)
            raise
        # After authentication, so that requests with wrong credentials cannot use up a principal's share.
        self._limits.admit(principal.name, address)
        return principal


def is_open(path: str) -> bool:
    """Whether a path needs no authentication."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
