"""The authentication modes: none, a security key, or JSON Web Tokens of an external issuer."""

from typing import Literal

from musterd.core.errors import StartError
from musterd.core.settings import Settings

AuthMode = Literal["none", "security_key", "jwt"]


def auth_mode(settings: Settings) -> AuthMode:
    """The authentication mode of a server with these settings.

    :raises StartError: both a key and token keys are set without a choice, or the chosen one is not set.
    """
    has_key = bool(settings.security_key)
    has_jwt = bool(settings.jwt_verification_key or settings.jwt_jwks_file or settings.jwt_jwks_url)
    if settings.auth == "security_key" and not has_key:
        raise StartError("MUSTERD_AUTH is security_key but no key is set — set OS_SECURITY_KEY")
    if settings.auth == "jwt" and not has_jwt:
        names = "JWT_VERIFICATION_KEY, JWT_JWKS_FILE or MUSTERD_JWT_JWKS_URL"
        raise StartError(f"MUSTERD_AUTH is jwt but no token keys are set — set {names}")
    if settings.auth is not None:
        return settings.auth
    if has_key and has_jwt:
        raise StartError(
            "OS_SECURITY_KEY and token keys (JWT_…) are both set — "
            "unset one, or choose with MUSTERD_AUTH=security_key or MUSTERD_AUTH=jwt"
        )
    return "security_key" if has_key else "jwt" if has_jwt else "none"
