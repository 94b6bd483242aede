"""Tokens that somebody else signs: JSON Web Tokens (RFC 7519), checked as RFC 8725 says.

A token says which key it was signed with, and nothing else is taken from it before the signature is right: not the
algorithm, which the key tells, not an address of a key. What was verified is not remembered: verifying again costs a
fraction of a millisecond, and nothing has to be forgotten when a key goes.
"""

from collections.abc import Sequence
from typing import Any

import jwt
from jwt.types import Options

from musterd.core import clock
from musterd.core.errors import Unauthenticated, WrongToken
from musterd.core.ids import is_identifier
from musterd.core.scopes import Scopes
from musterd.core.service_accounts import SERVICE
from musterd.core.settings import Settings
from musterd.http.auth.key_sources import KeySource, sources_of
from musterd.http.auth.keys import VerificationKey
from musterd.http.auth.principals import Principal, user

LONGEST = 8192
"""Characters of a token."""

LAST_SECOND = 2**53
"""Times beyond it are none: a float could not hold them."""

_LEFT_OUT: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Left to :func:`_require_current` and :func:`_user_of`: there is one door to time, and words for each case."""


class TokenVerifier:
    """Finds out whose a token is.

    :raises StartError: the settings' keys cannot be used, in words.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sources: Sequence[KeySource] = sources_of(settings)
        self._decoder = jwt.PyJWT()
        self._options: Options = {
            **_LEFT_OUT,
            "verify_aud": bool(settings.jwt_audience),
            "verify_iss": bool(settings.jwt_issuer),
        }

    def begin(self) -> None:
        """Read keys that are elsewhere, so that the first request need not wait."""
        for source in self._sources:
            source.refresh()

    def close(self) -> None:
        """Read no keys any more."""
        for source in self._sources:
            source.close()

    async def principal(self, token: str) -> Principal:
        """Whose token it is, and what it may do.

        :raises Unauthenticated: it has expired.
        :raises WrongToken: it is none, or not for this server.
        :raises Unavailable: there are no keys to check it with.
        """
        if len(token) > LONGEST:
            raise WrongToken
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise WrongToken from error
        valid_until = self._require_current(claims)
        return user(_user_of(claims), self._scopes_of(claims), valid_until=valid_until)

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in self._settings.jwt_algorithms or "crit" in header:
            raise WrongToken
        for source in self._sources:
            for key in await source.matching(header.get("kid"), algorithm):
                try:
                    return self._decoded(token, key)
                except jwt.InvalidSignatureError:
                    continue
        raise WrongToken

    def _decoded(self, token: str, key: VerificationKey) -> dict[str, Any]:
        try:
            return self._decoder.decode(
                token,
                key.key,
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
        """Check that the token is valid now; until when it is, in unix seconds.

        :raises Unauthenticated: it has expired.
        :raises WrongToken: it is not valid yet, or does not say.
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
        found = claims.get(self._settings.jwt_scopes_claim)
        if isinstance(found, str):
            found = found.split()
        return Scopes.of(found) if isinstance(found, list) else Scopes()


def _seconds(claims: dict[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) < LAST_SECOND:  # not even NaN is
        raise WrongToken(f"Invalid authentication token: {name} is no time")
    return float(value)


def _user_of(claims: dict[str, Any]) -> str:
    found = claims.get("sub")
    if not isinstance(found, str) or not is_identifier(found):
        raise WrongToken("Invalid authentication token: sub is missing")
    if found.startswith(SERVICE):  # it would be taken for a service account
        raise WrongToken("Invalid authentication token: sub names a service account")
    return found
