"""Keys that signatures of tokens are checked with: what each is good for is told by the key, never by a token.

So a public key cannot be taken for a shared secret, whatever a token's header says (RFC 8725, section 3.1).
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
MOST_KEYS = 64
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "oct": ("kty", "k")}
"""What is read of a key of a set: no private part, nothing that points elsewhere."""


class UnusableKey(ValueError):
    """A key, or a set of them, cannot be used; the message says why and never holds the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A key and the one algorithm it is good for.

    :param kid: its name, where it has one.
    """

    kid: str | None
    algorithm: str
    key: Any


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys, as they were read together."""

    keys: tuple[VerificationKey, ...]

    def matching(self, kid: str | None, algorithm: str) -> list[VerificationKey]:
        """The keys that may have signed a token: the one it names, else those without a name; any, if it names none."""
        good = [key for key in self.keys if key.algorithm == algorithm]
        if kid is None:
            return good
        return [key for key in good if key.kid == kid] or [key for key in good if key.kid is None]


def from_text(text: str, allowed: Collection[str]) -> KeySet:
    """The key that a setting holds: a public key or certificate in PEM, or else the shared secret of HS256.

    :raises UnusableKey: it is none, or good for nothing that is allowed.
    """
    if "-----BEGIN" in text:
        key = _from_pem(text.replace("\\n", "\n").strip().encode())
        algorithm = _algorithm_of(key)
    else:
        key, algorithm = text.encode(), "HS256"
        if algorithm not in allowed:
            raise UnusableKey("is no public key in PEM, so a secret of HS256; allow that with MUSTERD_JWT_ALGORITHMS")
        _require_long(key)
    if algorithm not in allowed:
        raise UnusableKey(f"is a key of {algorithm}; allow that with MUSTERD_JWT_ALGORITHMS")
    return KeySet((VerificationKey(kid=None, algorithm=algorithm, key=key),))


def from_jwks(content: bytes, allowed: Collection[str], *, with_secrets: bool) -> KeySet:
    """The keys of a JSON Web Key Set (RFC 7517) that are good for what is allowed; others are left out.

    :param with_secrets: whether shared secrets may stand in it.
    :raises UnusableKey: it is no such set, or has no such key.
    """
    try:
        read = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableKey("is not JSON") from error
    items = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(items, list) or len(items) > MOST_KEYS:
        raise UnusableKey(f'is no key set: it needs "keys", a list of at most {MOST_KEYS}')
    wanted = [name for name in allowed if with_secrets or name != "HS256"]
    keys = [key for item in items if (key := _from_jwk(item)) is not None and key.algorithm in wanted]
    if not keys:
        raise UnusableKey(f"has no key for {', '.join(wanted) or 'what is allowed'}")
    return KeySet(tuple(keys))


def _from_jwk(item: object) -> VerificationKey | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig":
        return None
    names = _PUBLIC.get(str(item.get("kty")), ())
    kid = item.get("kid")
    try:
        if item.get("kty") == "oct":
            key: Any = PyJWK({name: item[name] for name in names}, algorithm="HS256").key
            _require_long(key)
            algorithm = "HS256"
        else:
            kind = "RS256" if item.get("kty") == "RSA" else "ES256"
            key = PyJWK({name: item[name] for name in names}, algorithm=kind).key
            algorithm = _algorithm_of(key)
    except (KeyError, TypeError, ValueError, PyJWTError):
        return None
    if item.get("alg", algorithm) != algorithm:
        return None
    return VerificationKey(kid=kid if isinstance(kid, str) else None, algorithm=algorithm, key=key)


def _from_pem(content: bytes) -> object:
    if b"PRIVATE KEY" in content:
        raise UnusableKey("is a private key: give the public one of the pair")
    try:
        if b"BEGIN CERTIFICATE" in content:
            return x509.load_pem_x509_certificate(content).public_key()
        return load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey("cannot be read as PEM") from error


def _algorithm_of(key: object) -> str:
    if isinstance(key, RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise UnusableKey(f"is an RSA key of fewer than {LEAST_RSA_BITS} bits")
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    raise UnusableKey("is neither an RSA key nor one of the curve P-256")


def _require_long(secret: bytes) -> None:
    if len(secret) < LEAST_SECRET_BYTES:  # RFC 7518, section 3.2: any token gives it away to whoever tries them all
        raise UnusableKey(f"is shorter than {LEAST_SECRET_BYTES} bytes, which HS256 needs")
