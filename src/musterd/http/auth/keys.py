"""Keys that verify the signatures of tokens. The key determines the algorithm, never the token.

So a public key cannot be used as a shared secret, regardless of the token's header (RFC 8725, section 3.1).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError

LEAST_SECRET_BYTES = 32
LEAST_RSA_BITS = 2048
MAX_KEYS = 64
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "oct": ("kty", "k")}
"""The members that are read from a JWK: no private parts, and no links to certificates."""


class UnusableKey(ValueError):
    """A key or key set cannot be used; the message says why and never contains the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A key and the only algorithm that it may be used with.

    :param kid: the id of the key, if it has one.
    """

    kid: str | None
    algorithm: str
    key: Any


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one source."""

    keys: tuple[VerificationKey, ...]

    def matching(self, kid: str | None, algorithm: str) -> list[VerificationKey]:
        """The keys that may have signed a token: those with its ``kid``, else those without one; all if it has none."""
        usable = [key for key in self.keys if key.algorithm == algorithm]
        if kid is None:
            return usable
        return [key for key in usable if key.kid == kid] or [key for key in usable if key.kid is None]


def from_text(text: str, allowed: Collection[str]) -> KeySet:
    """The key in a setting: a public key or certificate in PEM form, otherwise a shared secret for HS256.

    :raises UnusableKey: the text is not a key, or is not a key for an allowed algorithm.
    """
    if "-----BEGIN" in text:
        key = _from_pem(text.replace("\\n", "\n").strip().encode())
        algorithm = _algorithm_of(key)
    else:
        key, algorithm = text.encode(), "HS256"
        if algorithm not in allowed:
            raise UnusableKey("is not a public key in PEM form, but HS256 secrets need MUSTERD_JWT_ALGORITHMS=HS256")
        _require_long(key)
    if algorithm not in allowed:
        raise UnusableKey(f"is a key for {algorithm}; allow that with MUSTERD_JWT_ALGORITHMS")
    return KeySet((VerificationKey(kid=None, algorithm=algorithm, key=key),))


def from_jwks(content: bytes, allowed: Collection[str], *, with_secrets: bool) -> KeySet:
    """The keys of a JSON Web Key Set (RFC 7517) for allowed algorithms; other keys are ignored.

    :param with_secrets: whether the set may contain shared secrets.
    :raises UnusableKey: it is not a key set, or has no usable key.
    """
    try:
        key_set = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableKey("is not JSON") from error
    items = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(items, list) or len(items) > MAX_KEYS:
        raise UnusableKey(f'is not a key set: it needs "keys", a list of at most {MAX_KEYS}')
    algorithms = [name for name in allowed if with_secrets or name != "HS256"]
    keys = [key for item in items if (key := _from_jwk(item)) is not None and key.algorithm in algorithms]
    if not keys:
        raise UnusableKey(f"has no key for {', '.join(algorithms) or 'an allowed algorithm'}")
    return KeySet(tuple(keys))


def _from_jwk(item: object) -> VerificationKey | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig":
        return None
    members = _PUBLIC_MEMBERS.get(str(item.get("kty")), ())
    kid = item.get("kid")
    try:
        if item.get("kty") == "oct":
            key: Any = PyJWK({name: item[name] for name in members}, algorithm="HS256").key
            _require_long(key)
            algorithm = "HS256"
        else:
            expected = "RS256" if item.get("kty") == "RSA" else "ES256"
            key = PyJWK({name: item[name] for name in members}, algorithm=expected).key
            algorithm = _algorithm_of(key)
    except (KeyError, TypeError, ValueError, PyJWTError):
        return None
    if item.get("alg", algorithm) != algorithm:
        return None
    return VerificationKey(kid=kid if isinstance(kid, str) else None, algorithm=algorithm, key=key)


def _from_pem(content: bytes) -> object:
    if b"PRIVATE KEY" in content:
        raise UnusableKey("is a private key: use the public key of the pair")
    try:
        if b"BEGIN CERTIFICATE" in content:
            return x509.load_pem_x509_certificate(content).public_key()
        return load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey("cannot be read as PEM") from error


def _algorithm_of(key: object) -> str:
    if isinstance(key, RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise UnusableKey(f"is an RSA key with fewer than {LEAST_RSA_BITS} bits")
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    raise UnusableKey("is neither an RSA key nor a key on the curve P-256")


def _require_long(secret: bytes) -> None:
    if len(secret) < LEAST_SECRET_BYTES:  # RFC 7518, section 3.2: a short secret can be guessed offline from any token
        raise UnusableKey(f"is shorter than {LEAST_SECRET_BYTES} bytes, which HS256 needs")
