"""What callers have to show: nothing, the key, or a token that somebody else signs."""

from typing import Literal

from musterd.core.errors import StartError
from musterd.core.settings import Settings

AuthMode = Literal["none", "security_key", "jwt"]


def auth_mode(settings: Settings) -> AuthMode:
    """What callers of a server with these settings have to show.

    :raises StartError: both are set and none is chosen, or the one that is chosen is not set.
    """
    has_key = bool(settings.security_key)
    has_jwt = bool(settings.jwt_verification_key or settings.jwt_jwks_file or settings.jwt_jwks_url)
    if settings.auth == "security_key" and not has_key:
        raise StartError("MUSTERD_AUTH is security_key and no key is set — set OS_SECURITY_KEY")
    if settings.auth == "jwt" and not has_jwt:
        names = "JWT_VERIFICATION_KEY, JWT_JWKS_FILE or MUSTERD_JWT_JWKS_URL"
        raise StartError(f"MUSTERD_AUTH is jwt and tokens cannot be checked — set {names}")
    if settings.auth is not None:
        return settings.auth
    if has_key and has_jwt:
        raise StartError(
            "OS_SECURITY_KEY and keys of tokens (JWT_…) are both set — "
            "unset one, or choose with MUSTERD_AUTH=security_key or MUSTERD_AUTH=jwt"
        )
    return "security_key" if has_key else "jwt" if has_jwt else "none"
