"""Authenticates requests by their ``Authorization`` header."""

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from musterd.core.errors import Unauthenticated, WrongToken
from musterd.core.settings import Settings
from musterd.http.auth.expiry import Validity
from musterd.http.auth.issued_tokens import IssuedTokens
from musterd.http.auth.modes import auth_mode
from musterd.http.auth.principals import ANYBODY, KEY_HOLDER, STRANGER, Principal

if TYPE_CHECKING:
    from musterd.http.auth.tokens import TokenVerifier


class Authenticator:
    """Recognizes the security key, JSON Web Tokens, and tokens that this server has issued.

    :param issued_tokens: recognizes the latter; None: no feature issues tokens.
    :raises StartError: the settings are invalid; the message says why.
    """

    def __init__(self, settings: Settings, issued_tokens: IssuedTokens | None) -> None:
        self._key = settings.security_key
        self._issued_tokens = issued_tokens
        self._mode = auth_mode(settings)
        self._verifier = _verifier(settings) if self._mode == "jwt" else None

    def begin(self) -> None:
        """Start to fetch token keys that are not local."""
        if self._verifier is not None:
            self._verifier.begin()

    def close(self) -> None:
        """Stop fetching token keys."""
        if self._verifier is not None:
            self._verifier.close()

    @property
    def unauthenticated(self) -> Principal:
        """The principal of a request for an open path, whose credentials are not checked."""
        return ANYBODY if self._mode == "none" else STRANGER

    @property
    def is_required(self) -> bool:
        """Whether callers must authenticate."""
        return self._mode != "none"

    def checks(self, authorization: Sequence[str]) -> bool:
        """Whether the request has credentials that need to be checked."""
        return self._mode != "none" and bool(authorization)

    async def principal(self, authorization: Sequence[str]) -> Principal:
        """Authenticate a request.

        :param authorization: the values of the request's ``Authorization`` headers.
        :raises Unauthenticated: there are no credentials, or the token has expired.
        :raises WrongToken: the credentials are wrong.
        :raises Unavailable: the credentials cannot be checked now.
        """
        if self._mode == "none":
            return ANYBODY
        if len(authorization) > 1:
            raise WrongToken("Invalid authentication token: the header Authorization should be given once")
        scheme, _, credentials = (authorization[0] if authorization else "").partition(" ")
        token = credentials.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Authorization header required")
        if self._verifier is None and self._is_key(token):
            return KEY_HOLDER
        if self._issued_tokens is not None and self._issued_tokens.matches(token):
            return await self._issued_tokens.principal(token)
        if self._verifier is None:
            raise WrongToken
        return await self._verifier.principal(token)

    def validity(self, principal: Principal) -> Validity:
        """How long the principal's token is valid."""
        return Validity(principal, self._issued_tokens)

    def _is_key(self, token: str) -> bool:
        # Compared in constant time: how long a refusal takes must not tell how much of a guess is right.
        return hmac.compare_digest(token.encode("latin-1"), self._key.encode())  # Starlette decodes headers as latin-1


def _verifier(settings: Settings) -> "TokenVerifier":
    from musterd.http.auth.tokens import TokenVerifier  # its libraries take a tenth of a second to import

    return TokenVerifier(settings)
