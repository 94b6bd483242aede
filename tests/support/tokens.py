"""Signs tokens for the server under test, with keys that are generated once. Tokens can be valid or invalid."""

import base64
import functools
import json
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from musterd.core import clock

SHORT_SECONDS = 600.0
"""How long a token lives whose end a test waits for; it does not wait, but moves the clock."""
LEFT_SECONDS = 3.0
"""How long such a token is still valid at :func:`shortly_before_the_end`."""
SECRET = "a-secret-of-at-least-32-bytes-for-hs256"
DAY = 86400
"""Tokens that a module signs when it is imported are still valid when its tests run."""


@functools.cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A key for RS256; each number has a different key."""
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key for ES256."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """The public part of a key."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public part of a key, as in a key set."""
    public = key.public_key()
    algorithm: Any = RSAAlgorithm if isinstance(public, rsa.RSAPublicKey) else ECAlgorithm
    key_fields = algorithm.to_jwk(public, as_dict=True)
    key_fields.pop("key_ops", None)
    return {**key_fields, **({} if kid is None else {"kid": kid}), **more}


def jwks(*keys: dict[str, Any]) -> str:
    """A key set (JWKS)."""
    return json.dumps({"keys": list(keys)})


def hand_made(header: dict[str, Any], claims: object, signature: bytes = b"") -> str:
    """A token with any header, claims and signature."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Signs tokens.

    :param key: None: the RSA key 0.
    :param claims: the claims of every token.
    """

    algorithm: str = "RS256"
    key: Any = None
    kid: str | None = None
    claims: dict[str, Any] = field(default_factory=dict)

    def token(self, sub: str | None = "ada", *scopes: str, lives: float = DAY, **claims: Any) -> str:
        """A token for a user; claims that are None are omitted."""
        now = clock.now()
        said = {"sub": sub, "exp": now + lives, "iat": now, "scopes": list(scopes), **self.claims, **claims}
        headers = None if self.kid is None else {"kid": self.kid}
        payload = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(payload, self.key or rsa_key(), self.algorithm, headers)

    def bearer(self, sub: str | None = "ada", *scopes: str, **claims: Any) -> dict[str, str]:
        """The request header with such a token."""
        return {"authorization": f"Bearer {self.token(sub, *scopes, **claims)}"}


def shortly_before_the_end(patch: pytest.MonkeyPatch) -> None:
    """Stop the clock when short tokens that are signed now are still valid, however long the next request takes.

    What the request begins ends by the event loop's own clock, after :data:`LEFT_SECONDS`.
    """
    at = clock.now() + SHORT_SECONDS - LEFT_SECONDS
    patch.setattr(clock, "now", lambda: at)


def after_the_end(patch: pytest.MonkeyPatch) -> None:
    """Let the clock stand behind the end of these tokens."""
    at = clock.now() + LEFT_SECONDS + 1
    patch.setattr(clock, "now", lambda: at)
