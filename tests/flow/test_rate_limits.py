"""How often somebody may ask, and how often somebody may be wrong."""

from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.http.auth.rate_limits import Buckets, network_of
from musterd.http.uvicorn_protocol import protocol_options
from tests.support.app import Serve
from tests.support.http import problem
from tests.support.tokens import Issuer, public_pem, rsa_key

KEY = {"authorization": "Bearer the-key"}
WRONG = {"authorization": "Bearer wrong"}


class StillClock:
    at = 1000.0


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    """A clock that the test moves."""
    still_clock = StillClock()
    monkeypatch.setattr(clock, "monotonic", lambda: still_clock.at)
    return still_clock


async def test_a_caller_who_asks_too_often(serve: Serve, still: StillClock) -> None:
    async with serve(security_key="the-key", rate_per_minute=60, rate_burst=3) as client:
        for _ in range(3):
            assert (await client.http.get("/teams", headers=KEY)).status_code == 200
        answer = await client.http.get("/teams", headers={**KEY, "origin": "http://localhost:3000"})
        problem(answer, 429, "RATE_LIMITED")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        still.at += 1
        assert (await client.http.get("/teams", headers=KEY)).status_code == 200
        problem(await client.http.get("/teams", headers=KEY), 429, "RATE_LIMITED")


async def test_it_is_said_before_the_body_is_read(serve: Serve, still: StillClock) -> None:
    async with serve(security_key="the-key", rate_per_minute=1, rate_burst=1, body_bytes=10) as client:
        await client.http.get("/teams", headers=KEY)
        answer = await client.post("x" * 1000, headers=KEY)
        problem(answer, 429, "RATE_LIMITED")
        assert answer.headers["retry-after"] == "60"


async def test_each_user_has_a_share_of_its_own(serve: Serve, still: StillClock) -> None:
    settings = {"jwt_verification_key": public_pem(rsa_key()), "rate_per_minute": 1, "rate_burst": 1}
    async with serve(**settings) as client:
        for user in ("ada", "eve"):
            bearer = Issuer().bearer(user, "teams:read")
            assert (await client.http.get("/teams", headers=bearer)).status_code == 200
            problem(await client.http.get("/teams", headers=bearer), 429, "RATE_LIMITED")


async def test_where_nobody_is_known_an_address_has_one(serve: Serve, still: StillClock) -> None:
    async with serve(rate_per_minute=1, rate_burst=1) as client:
        assert (await client.http.get("/teams")).status_code == 200
        problem(await client.http.get("/teams"), 429, "RATE_LIMITED")
        for path in ("/health", "/-/live", "/-/ready", "/info"):
            assert (await client.http.get(path)).status_code == 200, "what is open is not counted"


async def test_a_guess_costs(serve: Serve, still: StillClock) -> None:
    async with serve(security_key="the-key", auth_failures_per_minute=3) as client:
        for _ in range(3):
            problem(await client.http.get("/teams", headers=WRONG), 401, "UNAUTHENTICATED")
        answer = await client.http.get("/teams", headers=KEY)
        assert "wrong" in problem(answer, 429, "RATE_LIMITED"), "a right guess is not told from a wrong one"
        assert answer.headers["retry-after"] == "20"
        problem(await client.http.get("/teams"), 401, "UNAUTHENTICATED")
        assert (await client.http.get("/health")).status_code == 200
        still.at += 20
        assert (await client.http.get("/teams", headers=KEY)).status_code == 200


@pytest.mark.parametrize(
    "trusted, statuses",
    [
        ({}, [401, 401, 401]),
        ({"trusted_proxies": "127.0.0.0/8"}, [401, 401, 401]),
        ({"trusted_proxies": ""}, [401, 429, 429]),
        ({"trusted_proxies": "10.1.0.5,::1"}, [401, 429, 429]),
    ],
)
async def test_whose_word_counts_for_where_a_guess_comes_from(
    serve_live: Serve, trusted: dict[str, str], statuses: list[int]
) -> None:
    async with serve_live(security_key="the-key", auth_failures_per_minute=1, **trusted) as client:
        clients = [f"203.0.113.{number}" for number in range(3)]
        answers = [await client.http.get("/teams", headers={**WRONG, "x-forwarded-for": one}) for one in clients]
    assert [answer.status_code for answer in answers] == statuses


async def test_a_client_that_names_another_is_known_by_the_proxys_word(serve_live: Serve) -> None:
    async with serve_live(security_key="the-key", auth_failures_per_minute=1) as client:
        for status, claimed in ((401, "198.51.100.1"), (429, "198.51.100.2")):
            headers = {**WRONG, "x-forwarded-for": f"{claimed}, 203.0.113.1"}
            assert (await client.http.get("/teams", headers=headers)).status_code == status


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5"])
async def test_a_proxy_is_known_by_either_protocol(address: str) -> None:
    """A socket that listens to both gives addresses of IPv4 in those of IPv6."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    settings = Settings(trusted_proxies=("10.0.0.0/8", "2001:db8::5"))
    believes = ProxyHeadersMiddleware(app, protocol_options(settings)["forwarded_allow_ips"])
    scope: Any = {"type": "http", "client": (address, 1), "headers": [(b"x-forwarded-for", b"203.0.113.1, 10.9.9.9")]}
    await believes(scope, None, None)  # type: ignore[arg-type]
    assert seen == ["203.0.113.1"]


@pytest.mark.parametrize("text", ["*", "proxy", "10.1.0.5/8", "127.0.0.1,10.0.0.256"])
def test_a_proxy_is_an_address_or_a_network(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MUSTERD_TRUSTED_PROXIES", text)
    with pytest.raises(ValueError, match="is not an IP address or a network"):
        Settings()


async def test_no_token_and_an_expired_one_are_no_guesses(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key()), auth_failures_per_minute=1) as client:
        for _ in range(5):
            problem(await client.http.get("/teams"), 401, "UNAUTHENTICATED")
            expired = Issuer().bearer("ada", "teams:read", lives=-60)
            assert problem(await client.http.get("/teams", headers=expired), 401, "UNAUTHENTICATED").startswith("Token")
        assert (await client.http.get("/teams", headers=Issuer().bearer("ada", "teams:read"))).status_code == 200


async def test_as_shipped_requests_are_not_counted(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        for _ in range(100):
            assert (await client.http.get("/teams", headers=KEY)).status_code == 200


def test_buckets_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.http.auth.rate_limits.MAX_BUCKETS", 3)
    buckets = Buckets(60, 1)
    for name in "abcdef":
        buckets.take(name)
    assert len(buckets._buckets) == 3


@pytest.mark.parametrize(
    "host, network",
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_whose_address_it_is(host: str, network: str) -> None:
    assert network_of(host) == network
