"""Verifies JSON Web Tokens (RFC 7519) of external issuers, following RFC 8725.

Before the signature is verified, nothing but the key id is taken from a token: the key determines the algorithm, and
addresses of keys in a token are ignored. Results are not cached: verifying again costs a fraction of a millisecond, and
a cache would have to be cleared when a key is withdrawn.
"""

from collections.abc import Sequence
from typing import Any

import jwt
from jwt.types import Options

from musterd.core import clock
from musterd.core.callers import SERVICE_PREFIX
from musterd.core.errors import Unauthenticated, WrongToken
from musterd.core.ids import is_identifier
from musterd.core.scopes import Scopes
from musterd.core.settings import Settings
from musterd.http.auth.key_sources import KeySource, sources_of
from musterd.http.auth.keys import VerificationKey
from musterd.http.auth.principals import Principal, user

LONGEST_TOKEN = 8192
"""The most characters of a token."""
LONGEST_NAME = 255
"""The most characters of the user's name in a token."""

LAST_SECOND = 2**53
"""Later times are invalid: a float cannot represent them exactly."""

_UNCHECKED: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Not checked by the library but by ``_require_current`` and ``_user_of``: they use musterd's clock, and have a message
for each case."""


class TokenVerifier:
    """Verifies tokens and gives their principals.

    :raises StartError: the keys in the settings cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sources: Sequence[KeySource] = sources_of(settings)
        self._decoder = jwt.PyJWT()
        self._options: Options = {
            **_UNCHECKED,
            "verify_aud": bool(settings.jwt_audience),
            "verify_iss": bool(settings.jwt_issuer),
        }

    def begin(self) -> None:
        """Start to fetch remote keys, so that the first request does not have to wait for them."""
        for source in self._sources:
            source.refresh()

    def close(self) -> None:
        """Stop fetching keys."""
        for source in self._sources:
            source.close()

    async def principal(self, token: str) -> Principal:
        """The principal of a token.

        :raises Unauthenticated: the token has expired.
        :raises WrongToken: the token is invalid, or not for this server.
        :raises Unavailable: no keys could be read yet.
        """
        if len(token) > LONGEST_TOKEN:
            raise WrongToken
        try:
            claims = await self._verified_claims(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise WrongToken from error
        valid_until = self._require_current(claims)
        return user(_user_of(claims), self._scopes_of(claims), display_name=_name_of(claims), valid_until=valid_until)

    async def _verified_claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        # A token with critical extensions that are not understood must be refused (RFC 7515, section 4.1.11).
        if algorithm not in self._settings.jwt_algorithms or "crit" in header:
            raise WrongToken
        for source in self._sources:
            for key in await source.matching(header.get("kid"), algorithm):
                try:
                    return self._decode(token, key)
                # Another key may fit. Any other error is about the token itself, whichever key is tried.
                except jwt.InvalidSignatureError:
                    continue
        raise WrongToken

    def _decode(self, token: str, key: VerificationKey) -> dict[str, Any]:
        try:
            return self._decoder.decode(
                token,
                key.key,
                # The key's algorithm, whatever the token's header says (decision 011).
                algorithms=[key.algorithm],
                audience=self._settings.jwt_audience or None,
                issuer=self._settings.jwt_issuer or None,
                options=self._options,
            )
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError) as error:
            missing = error.claim if isinstance(error, jwt.MissingRequiredClaimError) else "aud"
            raise WrongToken(f"Invalid authentication token: wrong {missing}") from error
        except jwt.InvalidIssuerError as error:
            raise WrongToken("Invalid authentication token: wrong iss") from error

    def _require_current(self, claims: dict[str, Any]) -> float:
        """Check that the token is valid now, and return when it expires, in unix seconds.

        :raises Unauthenticated: the token has expired.
        :raises WrongToken: the token is not valid yet, or has no expiry time.
        """
        now, leeway = clock.now(), self._settings.jwt_leeway_seconds
        if "exp" not in claims:
            raise WrongToken("Invalid authentication token: exp is missing")
        valid_until = _seconds(claims, "exp", now) + leeway
        if valid_until <= now:
            raise Unauthenticated("Token has expired")
        if any(_seconds(claims, name, now) - leeway > now for name in ("nbf", "iat")):
            raise WrongToken("Invalid authentication token: not valid yet")
        return valid_until

    def _scopes_of(self, claims: dict[str, Any]) -> Scopes:
        claim = claims.get(self._settings.jwt_scopes_claim)
        if isinstance(claim, str):
            claim = claim.split()
        return Scopes.of(claim) if isinstance(claim, list) else Scopes()


def _seconds(claims: dict[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) < LAST_SECOND:  # also rejects NaN
        raise WrongToken(f"Invalid authentication token: {name} is not a time")
    return float(value)


def _user_of(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_identifier(subject):
        raise WrongToken("Invalid authentication token: sub is missing")
    if subject.startswith(SERVICE_PREFIX):  # it could be mistaken for a service account
        raise WrongToken("Invalid authentication token: sub names a service account")
    return subject


def _name_of(claims: dict[str, Any]) -> str | None:
    """The name of the user, if the token has a usable one. It is only shown, so no token is refused for it."""
    name = claims.get("name")
    return name if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() else None
