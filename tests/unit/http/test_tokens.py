"""Tokens: whose they are, and every way in which one is not taken."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from jwt.utils import base64url_encode
from structlog.testing import capture_logs

from musterd import Settings
from musterd.core import clock
from musterd.core.errors import StartError, Unauthenticated, Unavailable, WrongToken
from musterd.http.auth.modes import auth_mode
from musterd.http.auth.tokens import LONGEST_TOKEN, TokenVerifier
from tests.support.endless_server import KINDS, endless
from tests.support.tokens import SECRET, Issuer, ec_key, hand_made, jwk, jwks, public_pem, rsa_key

RS, ES = Issuer(), Issuer(algorithm="ES256", key=ec_key())
HS = Issuer(algorithm="HS256", key=SECRET)


def verifier(**settings: Any) -> TokenVerifier:
    return TokenVerifier(Settings(**{"jwt_verification_key": public_pem(rsa_key()), **settings}))


async def refused(token: str, by: TokenVerifier | None = None) -> str:
    """The words with which a token is not taken."""
    with pytest.raises(Unauthenticated) as raised:
        await (by or verifier()).principal(token)
    return raised.value.message


# --- whose it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer, key, algorithms",
    [
        (RS, public_pem(rsa_key()), "RS256"),
        (RS, public_pem(rsa_key()).replace("\n", "\\n"), "RS256"),
        (ES, public_pem(ec_key()), "ES256"),
        (HS, SECRET, "HS256"),
        (RS, public_pem(rsa_key()), "HS256, RS256, ES256"),
    ],
)
async def test_a_token_names_its_user_and_scopes(issuer: Issuer, key: str, algorithms: str) -> None:
    principal = await verifier(jwt_verification_key=key, jwt_algorithms=algorithms).principal(
        issuer.token("ada", "teams:run", "teams:read")
    )
    assert principal.name == "user:ada"
    assert (principal.caller.user_id, principal.caller.label, principal.caller.is_admin) == ("ada", "ada", False)
    assert principal.scopes.granted == {"teams:run", "teams:read"}


@pytest.mark.parametrize(
    "claim, granted",
    [
        (["teams:run", 7, None], {"teams:run"}),
        ("teams:run", {"teams:run"}),
        ("teams:run sessions:read", {"teams:run", "sessions:read"}),
        ({"teams:run": True}, set()),
        (7, set()),
        (None, set()),
    ],
)
async def test_the_forms_of_the_claim_of_scopes(claim: object, granted: set[str]) -> None:
    assert (await verifier().principal(RS.token(scopes=claim))).scopes.granted == granted


async def test_another_claim_has_the_scopes() -> None:
    principal = await verifier(jwt_scopes_claim="permissions").principal(RS.token(permissions=["teams:run"]))
    assert principal.scopes.granted == {"teams:run"}


async def test_an_administrator_sees_everybodys() -> None:
    assert (await verifier().principal(RS.token("root", "agent_os:admin"))).caller.sees_only is None


# --- times --------------------------------------------------------------------------------------------


async def test_a_token_expires_behind_the_leeway(monkeypatch: pytest.MonkeyPatch) -> None:
    by, token, now = verifier(jwt_leeway_seconds=10), RS.token(lives=60), clock.now()
    for later, is_taken in ((59, True), (69, True), (71, False), (1000, False)):
        monkeypatch.setattr(clock, "now", lambda at=now + later: at)
        if is_taken:
            await by.principal(token)
        else:
            assert await refused(token, by) == "Token has expired"


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_a_token_of_the_future(name: str) -> None:
    now = clock.now()
    near: dict[str, Any] = {name: now + 5}
    far: dict[str, Any] = {name: now + 60}
    await verifier().principal(RS.token(**near))
    assert "not valid yet" in await refused(RS.token(**far))


@pytest.mark.parametrize("value", [None, "soon", True, [], float("inf"), float("nan"), 10**400, -(10**400)])
async def test_an_end_is_needed_and_is_a_time(value: object) -> None:
    assert "exp" in await refused(RS.token(exp=value))


# --- whom it is of and for ----------------------------------------------------------------------------


@pytest.mark.parametrize("sub", [None, "", "a\nb", "a\x00b", "x" * 256, "\ud800", "service:ci"])
async def test_a_user_is_needed(sub: str | None) -> None:
    assert "sub" in await refused(RS.token(sub))


@pytest.mark.parametrize("sub", [7, ["ada"], {"a": 1}, True])
async def test_a_user_is_a_text(sub: Any) -> None:
    assert "sub" in await refused(hand_signed({"sub": sub, "exp": clock.now() + 60}))


@pytest.mark.parametrize("audience", ["musterd", ["x", "musterd"], "other"])
async def test_the_right_audience(audience: object) -> None:
    await verifier(jwt_audience="musterd,other").principal(RS.token(aud=audience))
    await verifier().principal(RS.token(aud=audience))  # where none is set, none is asked for


@pytest.mark.parametrize("audience", [None, "nobody", ["x", "y"], "", "musterd.evil", 7])
async def test_a_wrong_audience(audience: object) -> None:
    assert (await refused(RS.token(aud=audience), verifier(jwt_audience="musterd"))).endswith("wrong aud")


@pytest.mark.parametrize("issuer", [None, "https://evil.example", "", "https://id.example/x"])
async def test_a_wrong_issuer(issuer: object) -> None:
    by = verifier(jwt_issuer="https://id.example")
    await by.principal(RS.token(iss="https://id.example"))
    assert (await refused(RS.token(iss=issuer), by)).endswith("wrong iss")


# --- confused algorithms and malformed tokens -----------------------------------------------------------


def hand_signed(claims: object, **header: Any) -> str:
    """A token of these claims, whatever they are, with a right signature."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), rsa_key(), "RS256", header)


def forged(token: str) -> str:
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{signature[:-6]}AAAAAA"


GOOD = {"sub": "ada", "exp": 2**33, "scopes": ["agent_os:admin"]}


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "ä.ö.ü",
        "x" * 100,
        "x" * (LONGEST_TOKEN + 1),
        forged(RS.token()),
        Issuer(key=rsa_key(1)).token(),
        ES.token(),
        HS.token(),
        RS.token().rsplit(".", 1)[0] + ".",
        RS.token() + "=",
        hand_made({"alg": "none"}, GOOD),
        hand_made({"alg": "None"}, GOOD),
        hand_made({"alg": "NONE", "typ": "JWT"}, GOOD),
        hand_made({"alg": ""}, GOOD),
        hand_made({"alg": ["RS256"]}, GOOD),
        hand_made({"alg": None}, GOOD),
        hand_made({}, GOOD),
        hand_made({"alg": "RS256", "kid": 7}, GOOD, b"x" * 256),
        hand_made({"alg": "RS256", "kid": ["a"]}, GOOD, b"x" * 256),
        hand_made({"alg": "RS256"}, GOOD, b"x" * 256),
        hand_made({"alg": "RS512"}, GOOD, b"x" * 256),
        hand_made({"alg": "RS256", "jwk": jwk(rsa_key(1))}, GOOD, b"x" * 256),
        hand_signed([1, 2]),
        hand_signed("ada"),
        hand_signed(GOOD, crit=["exp"]),
        hand_signed(GOOD, b64=False, crit=["b64"]),
    ],
)
async def test_what_is_no_token_of_ours(token: str) -> None:
    assert await refused(token) == "Invalid authentication token"


async def test_a_header_that_is_nested_deeply() -> None:
    deep = "[" * 2500 + "]" * 2500
    head = base64url_encode(f'{{"alg":"RS256","x":{deep}}}'.encode()).decode()
    assert await refused(f"{head}.e30.e30") == "Invalid authentication token"


@pytest.mark.parametrize("text", [public_pem(rsa_key()), public_pem(rsa_key()).strip()])
async def test_a_public_key_is_no_secret(text: str) -> None:
    """The classic confusion: signed by HMAC with the public key, which everybody knows."""
    unsigned = hand_made({"alg": "HS256", "typ": "JWT"}, GOOD).rsplit(".", 1)[0]
    signature = hmac.digest(text.encode(), unsigned.encode(), hashlib.sha256)
    token = unsigned + "." + base64url_encode(signature).decode()
    by = verifier(jwt_algorithms="RS256,HS256")
    assert await refused(token, by) == "Invalid authentication token"


async def test_only_what_is_allowed_is_taken() -> None:
    with pytest.raises(StartError, match="MUSTERD_JWT_ALGORITHMS"):
        verifier(jwt_algorithms="ES256")


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"jwt_verification_key": "short", "jwt_algorithms": "HS256"}, "32 bytes"),
        ({"jwt_verification_key": "not-a-pem-" * 9}, "HS256"),
        ({"jwt_verification_key": "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"}, "PEM"),
        ({"jwt_verification_key": "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----"}, "private"),
        ({"jwt_jwks_file": "/nowhere/keys.json"}, "cannot be read"),
        ({"jwt_jwks_url": "http://id.example/keys"}, "https"),
        ({"jwt_jwks_url": "file:///etc/passwd"}, "https"),
        ({"jwt_jwks_url": "https://"}, "https"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_at_the_start(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(StartError, match=words) as raised:
        verifier(**settings)
    assert "not-a-pem" not in raised.value.message


@pytest.mark.parametrize(
    "settings, mode",
    [
        ({}, "none"),
        ({"security_key": "k"}, "security_key"),
        ({"jwt_verification_key": "k"}, "jwt"),
        ({"jwt_jwks_file": "f"}, "jwt"),
        ({"jwt_jwks_url": "u"}, "jwt"),
        ({"security_key": "k", "jwt_verification_key": "k", "auth": "jwt"}, "jwt"),
        ({"security_key": "k", "jwt_verification_key": "k", "auth": "security_key"}, "security_key"),
    ],
)
def test_what_callers_have_to_show(settings: dict[str, Any], mode: str) -> None:
    assert auth_mode(Settings(**settings)) == mode


@pytest.mark.parametrize(
    "settings",
    [
        {"security_key": "k", "jwt_verification_key": "k"},
        {"security_key": "k", "jwt_jwks_file": "f"},
        {"auth": "jwt"},
        {"auth": "jwt", "security_key": "k"},
        {"auth": "security_key", "jwt_verification_key": "k"},
    ],
)
def test_what_cannot_be_told_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(StartError, match="MUSTERD_AUTH"):
        auth_mode(Settings(**settings))


# --- sets of keys -------------------------------------------------------------------------------------


async def test_a_file_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    secret = {"kty": "oct", "k": base64url_encode(SECRET.encode()).decode(), "kid": "s"}
    others = [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}, {"kty": "RSA"}, "x", {}, jwk(rsa_key(2), "enc", use="enc")]
    file.write_text(jwks(*others, jwk(rsa_key(), "r"), jwk(ec_key(), "e"), secret))  # type: ignore[arg-type]
    by = verifier(jwt_verification_key="", jwt_jwks_file=str(file), jwt_algorithms="RS256,ES256,HS256")
    await by.principal(Issuer(kid="r").token())
    await by.principal(Issuer(algorithm="ES256", key=ec_key(), kid="e").token())
    await by.principal(Issuer(algorithm="HS256", key=SECRET, kid="s").token())
    await by.principal(RS.token())  # names none: any that fits
    for wrong in (
        Issuer(kid="e").token(),
        Issuer(kid="nope").token(),
        Issuer(kid="enc", key=rsa_key(2)).token(),
        Issuer(kid="r", key=rsa_key(1)).token(),
    ):
        await refused(wrong, by)


async def test_a_key_of_a_set_keeps_to_its_algorithm(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(jwks(jwk(rsa_key(), "r", alg="RS512"), jwk(ec_key(), "e")))
    by = verifier(jwt_verification_key="", jwt_jwks_file=str(file), jwt_algorithms="RS256,ES256")
    await refused(Issuer(kid="r").token(), by)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": 1}', '{"keys": []}', '{"keys": [{"kty": "RSA"}]}', "[" * 9999]
)
def test_a_file_without_keys_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(StartError, match="JWT_JWKS_FILE"):
        verifier(jwt_verification_key="", jwt_jwks_file=str(file))


class StillClock:
    """A monotonic clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.at)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    return StillClock(monkeypatch)


async def test_a_file_is_read_again_when_a_token_names_an_unknown_key(tmp_path: Path, still: StillClock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(jwks(jwk(rsa_key(), "old")))
    by = verifier(jwt_verification_key="", jwt_jwks_file=str(file))
    old, new = Issuer(kid="old").token(), Issuer(kid="new", key=rsa_key(1)).token()
    file.write_text(jwks(jwk(rsa_key(1), "new")))
    await refused(new, by)  # only just read
    still.at += 11
    await by.principal(new)
    await refused(old, by)
    file.write_text("nonsense")
    still.at += 11
    await refused(Issuer(kid="other").token(), by)
    await by.principal(new)  # the last good ones count


class Address:
    """A server of keys on loopback."""

    def __init__(self) -> None:
        self.text = jwks(jwk(rsa_key(), "a"))
        self.status = 200
        self.requests = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(text=self.text, status=self.status, headers={"Location": "/keys"})


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    key_server = Address()
    app = web.Application()
    app.router.add_get("/keys", key_server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    key_server.url = f"http://127.0.0.1:{port}/keys"
    yield key_server
    await runner.cleanup()


async def test_keys_of_an_address_are_rotated(address: Address, still: StillClock) -> None:
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url)
    first, second = Issuer(kid="a").token(), Issuer(kid="b", key=rsa_key(1)).token()
    for _ in range(3):
        await by.principal(first)
    assert address.requests == 1
    address.text = jwks(jwk(rsa_key(), "a"), jwk(rsa_key(1), "b"))
    for _ in range(3):
        await refused(second, by)
    assert address.requests == 1, "not more often than once in a while"
    still.at += 11
    await by.principal(second)
    await by.principal(first)
    assert address.requests == 2


async def test_a_key_that_was_taken_out_counts_no_more_after_a_while(address: Address, still: StillClock) -> None:
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url)
    token = Issuer(kid="a").token()
    await by.principal(token)
    address.text = jwks(jwk(rsa_key(1), "b"))
    still.at += 301
    await by.principal(token)  # nobody waits for the address: it is asked behind this request
    (source,) = by._sources
    assert source._refreshing is not None
    await source._refreshing
    await refused(token, by)
    by.close()


async def test_many_at_once_ask_once(address: Address) -> None:
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url)
    await asyncio.gather(*(by.principal(Issuer(kid="a").token()) for _ in range(20)))
    assert address.requests == 1


@pytest.mark.parametrize(
    "text, status",
    [
        ("nonsense", 200),
        ("{}", 200),
        (jwks(), 200),
        (jwks(jwk(rsa_key(3), "x")), 500),
        ("x" * 2_000_000, 200),
        ("", 302),
    ],
)
async def test_an_address_that_serves_nonsense_changes_nothing(
    address: Address, still: StillClock, text: str, status: int
) -> None:
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url)
    await by.principal(Issuer(kid="a").token())
    address.text, address.status = text, status
    still.at += 11
    await refused(Issuer(kid="x", key=rsa_key(3)).token(), by)
    assert address.requests == 2
    await by.principal(Issuer(kid="a").token())


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_whose_answer_has_no_end_is_hung_up_on(kind: str) -> None:
    async with endless(kind) as (url, is_left):
        by = verifier(jwt_verification_key="", jwt_jwks_url=url)
        with capture_logs() as lines, pytest.raises(Unavailable):
            await by.principal(Issuer(kid="a").token())
        await is_left.wait()
    reason = "TooManyInterimResponses" if "interim" in kind else "FramingTooLong"
    assert [line["reason"] for line in lines] == [reason], "it did not wait until its time was over"


async def test_a_secret_from_an_address_is_none(address: Address) -> None:
    secret = {"kty": "oct", "k": base64url_encode(SECRET.encode()).decode(), "kid": "s"}
    address.text = jwks(jwk(rsa_key(), "a"), secret)
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url, jwt_algorithms="RS256,HS256")
    await by.principal(Issuer(kid="a").token())
    await refused(Issuer(algorithm="HS256", key=SECRET, kid="s").token(), by)


async def test_without_keys_nobody_is_let_in_and_told_so(address: Address, still: StillClock) -> None:
    address.status = 503
    by = verifier(jwt_verification_key="", jwt_jwks_url=address.url)
    with pytest.raises(Unavailable):
        await by.principal(Issuer(kid="a").token())
    with pytest.raises(WrongToken):
        await by.principal(hand_made({"alg": "none"}, GOOD))
    address.status = 200
    still.at += 2
    await by.principal(Issuer(kid="a").token())
