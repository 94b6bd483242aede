"""The cost of authentication per request: listing models without authentication, with the key, with a token and with
the token of a service account.

Servers of all kinds run at once and are measured in turns. The cost of a kind is the difference to no authentication.
"""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.client import Client
from bench.figures import Bar, Figure
from bench.measures import Measure
from bench.servers import Musterd
from bench.trial import Bench, Side

PATH = "/models"
REQUESTS, ROUNDS = 4000, 8
SECRET = "a-secret-of-32-bytes-or-more-for-hs256"
SCOPES = ["system:read", "teams:run", "teams:read", "sessions:read", "sessions:write"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to come in.

    :param environment: the server's settings.
    :param token: the token that each request carries; "" for an account's token, which the server makes first.
    """

    name: str
    environment: Mapping[str, str]
    token: str
    bar: Bar | None = None


def kinds() -> list[Kind]:
    """Return every way, nothing first."""
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    claims = {"sub": "ada", "exp": int(time.time()) + 24 * 3600, "scopes": SCOPES}
    rs256 = {"JWT_VERIFICATION_KEY": public}
    hs256 = {"JWT_VERIFICATION_KEY": SECRET, "MUSTERD_JWT_ALGORITHMS": "HS256"}
    most = Bar(at_most=0.3)
    return [
        Kind(name="nothing", environment={}, token="none"),
        Kind(name="the key", environment={"OS_SECURITY_KEY": SECRET}, token=SECRET),
        Kind(name="JWT, RS256", environment=rs256, token=jwt.encode(claims, private, "RS256"), bar=most),
        Kind(name="JWT, HS256", environment=hs256, token=jwt.encode(claims, SECRET, "HS256"), bar=most),
        Kind(name="a service account", environment={"OS_SECURITY_KEY": SECRET}, token=""),
    ]


async def measure(bench: Bench) -> list[Figure]:
    """Ask a server of each kind, in turns."""
    async with AsyncExitStack() as stack:
        ways: list[Kind] = []
        sides: list[Side] = []
        for kind in kinds():
            server = stack.enter_context(Musterd(bench.model.base_url, kind.environment))
            side = Side(server, await stack.enter_async_context(Client(server.url)))
            ways.append(kind if kind.token else replace(kind, token=await account_token(side)))
            sides.append(side)
        headers_by_port = {
            side.server.port: {"Authorization": f"Bearer {way.token}"} for side, way in zip(sides, ways, strict=True)
        }

        async def ask(side: Side) -> None:
            await side.client.answer("GET", PATH, headers=headers_by_port[side.server.port])

        samples = await bench.compare(sides, ask, ours=REQUESTS, peer=REQUESTS, rounds=ROUNDS)
    first = samples[0].cpu
    figures = [Figure(name=f"GET {PATH}, nothing asked: CPU", unit="ms", ours=first)]
    for way, taken in zip(ways[1:], samples[1:], strict=True):
        figures.append(Figure(name=f"{way.name}: CPU more", unit="ms", ours=max(taken.cpu - first, 0), bar=way.bar))
    return figures


async def account_token(side: Side) -> str:
    """Make a service account; return its token."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    body = {"name": "bench", "scopes": [{"scope": scope} for scope in SCOPES]}
    account = await side.client.answer("POST", "/service-accounts", expect=201, headers=headers, json=body)
    return str(account["token"])


AUTH: dict[str, Measure] = {"auth": measure}
