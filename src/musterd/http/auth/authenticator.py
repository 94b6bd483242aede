"""Finding out who asks, by what the request shows."""

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from musterd.core.errors import Unauthenticated, WrongToken
from musterd.core.settings import Settings
from musterd.http.auth.expiry import Validity
from musterd.http.auth.modes import auth_mode
from musterd.http.auth.principals import ANYBODY, KEY_HOLDER, STRANGER, Principal, service_account
from musterd.service.service_accounts import PREFIX, ServiceAccountService

if TYPE_CHECKING:
    from musterd.http.auth.tokens import TokenVerifier


class Authenticator:
    """Knows the key, the keys of tokens, and the service accounts.

    :raises StartError: the settings cannot be served, in words.
    """

    def __init__(self, settings: Settings, accounts: ServiceAccountService) -> None:
        self._key = settings.security_key
        self._accounts = accounts
        self._mode = auth_mode(settings)
        self._verifier = _verifier(settings) if self._mode == "jwt" else None

    def begin(self) -> None:
        """Read what is elsewhere."""
        if self._verifier is not None:
            self._verifier.begin()

    def close(self) -> None:
        """Let go of it."""
        if self._verifier is not None:
            self._verifier.close()

    @property
    def unasked(self) -> Principal:
        """Who asks for what is open: nobody looks at what such a request shows."""
        return ANYBODY if self._mode == "none" else STRANGER

    def is_asked(self, shown: Sequence[str]) -> bool:
        """Whether what a request shows is to be looked at."""
        return self._mode != "none" and bool(shown)

    async def principal(self, shown: Sequence[str]) -> Principal:
        """Who asks.

        :param shown: the values of the request's ``Authorization`` headers.
        :raises Unauthenticated: nothing is shown, or a token that has expired.
        :raises WrongToken: what is shown is wrong.
        :raises Unavailable: it cannot be found out now.
        """
        if self._mode == "none":
            return ANYBODY
        if len(shown) > 1:
            raise WrongToken("Invalid authentication token: the header Authorization should be given once")
        scheme, _, rest = (shown[0] if shown else "").partition(" ")
        token = rest.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Authorization header required")
        if self._verifier is None and self._is_key(token):
            return KEY_HOLDER
        if token.startswith(PREFIX):
            return service_account(await self._accounts.recognise(token))
        if self._verifier is None:
            raise WrongToken
        return await self._verifier.principal(token)

    def validity(self, principal: Principal) -> Validity:
        """How long the principal's token is valid."""
        return Validity(principal, self._accounts.watch)

    def _is_key(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("latin-1"), self._key.encode())  # headers are read as latin-1


def _verifier(settings: Settings) -> "TokenVerifier":
    from musterd.http.auth.tokens import TokenVerifier  # the libraries behind it cost a tenth of a second

    return TokenVerifier(settings)
