"""The middleware that authenticates requests and applies rate limits."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from musterd.core.errors import RequestError, WrongToken
from musterd.core.metrics import Metrics
from musterd.http.auth.authenticator import Authenticator
from musterd.http.auth.expiry import Validity
from musterd.http.auth.principals import Principal
from musterd.http.auth.rate_limits import RateLimits, network_of

log = structlog.get_logger("musterd.http")

OPEN_PATHS = frozenset({"/", "/health", "/info", "/-/live", "/-/ready", "/docs", "/redoc", "/openapi.json", "/ui"})
OPTIONAL_AUTH_PATHS = frozenset({"/-/ready"})
"""Open paths that tell an administrator more, so that credentials are checked if there are any."""
OPTIONAL_AUTH_SECONDS = 1.0
"""How long that check may take: open paths must also be answered while the database is unavailable."""
OPEN_FOLDERS = ("/ui/", "/docs/", "/redoc/")


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAccess:
    """How the client of a WebSocket authenticates. Browsers cannot set a header for it.

    :param principal: the caller, if the handshake says who it is or nobody needs to be authenticated.
    :param sign_in: authenticates a token, with the limits of requests.
    :param admit: counts a message as a request of a principal, or of the address if there is none yet; raises
        TooManyRequests if there are too many.
    :param validity_of: how long a principal's token is valid.
    """

    principal: Principal | None
    sign_in: Callable[[str], Awaitable[Principal]]
    admit: Callable[[Principal | None], None]
    validity_of: Callable[[Principal], Validity]


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
        elif scope["type"] == "websocket":
            scope.setdefault("state", {})["access"] = await self._socket_access(scope)
        await self._app(scope, receive, send)

    async def _socket_access(self, scope: Scope) -> SocketAccess:
        """How the client of a socket authenticates: with a header, or later with a message.

        :raises Unauthenticated: it sends a header with credentials that are not valid.
        """
        authorization, address = Headers(scope=scope).getlist("authorization"), _address_of(scope)
        principal = None
        if authorization or not self._authenticator.is_required:
            principal = await self._authenticate(scope, authorization)
        return SocketAccess(
            principal=principal,
            sign_in=lambda token: self._authenticate(scope, [f"Bearer {token}"]),
            admit=lambda principal: self._limits.admit("" if principal is None else principal.name, address),
            validity_of=self._authenticator.validity,
        )

    async def _authenticate_if_possible(self, scope: Scope) -> Principal:
        """The principal of a request for an open path, which is answered even if authentication fails."""
        if self._authenticator.checks(Headers(scope=scope).getlist("authorization")):
            with contextlib.suppress(RequestError, TimeoutError):
                async with asyncio.timeout(OPTIONAL_AUTH_SECONDS):
                    return await self._authenticate(scope)
        return self._authenticator.unauthenticated

    async def _authenticate(self, scope: Scope, authorization: Sequence[str] | None = None) -> Principal:
        address = _address_of(scope)
        if authorization is None:
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


def _address_of(scope: Scope) -> str:
    return network_of((scope.get("client") or ("",))[0])


def is_open(path: str) -> bool:
    """Whether a path needs no authentication."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
