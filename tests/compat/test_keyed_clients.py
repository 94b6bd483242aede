"""Clients of a server that asks who they are: a key, a token, and one that has expired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from musterd.core import clock
from tests.compat.conftest import KEY
from tests.compat.test_npm_clients import FULL, Page
from tests.support.client_drivers import ClientFailed, Driver
from tests.support.process import Deployment, Process

RIGHT = {"Authorization": f"Bearer {KEY}"}


class Signer:
    """Signs tokens as an issuer does."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_key(self) -> str:
        """What the server checks them by."""
        form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return self._key.public_key().public_bytes(*form).decode()

    def token(self, user: str, seconds: int = 600) -> str:
        """A token that is good for so long."""
        claims = {"sub": user, "exp": int(clock.now()) + seconds, "scopes": ["agent_os:admin"]}
        return jwt.encode(claims, self._key, "RS256")


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The issuer of the tokens."""
    return Signer()


@pytest.fixture(scope="module")
def signed(site: Deployment, signer: Signer) -> Process:
    """A server that takes tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWT_VERIFICATION_KEY", signer.public_key)
        return site.serve()


def address(process: Process) -> str:
    """Where the server answers."""
    return str(process.http.base_url).rstrip("/")


def opened(browser: Callable[[str], Driver], at: Process, **config: Any) -> Page:
    """A page of the server's."""
    return Page(browser(FULL), endpoint=address(at), mode="team", teamId="demo-team", dbId="musterd-db", **config)


def test_the_key_opens_for_a_page(browser: Callable[[str], Driver], keyed: Process) -> None:
    page = opened(browser, keyed, authToken=KEY)
    page.do("initialize")
    assert page.state["teams"]
    page.answered("[[SAY hello]]")
    assert page.last["content"] == "hello"


def test_a_wrong_key_is_told_in_words(browser: Callable[[str], Driver], keyed: Process) -> None:
    page = opened(browser, keyed, authToken="wrong", refreshed=KEY)
    page.send("hello")
    assert "Invalid authentication token" in page.state["errorMessage"]
    with pytest.raises(ClientFailed):
        page.do("fetchTeams")
    assert page.look()["refreshes"] == 0, "only an expired token is renewed"


def test_the_key_opens_for_agentos_client(agentos: Driver, keyed: Process) -> None:
    with pytest.raises(ClientFailed) as failed:
        agentos.at(address(keyed), "list_teams")
    assert (failed.value.status, failed.value.body["error_code"]) == (401, "UNAUTHENTICATED")
    assert agentos.at(address(keyed), "list_teams", headers=RIGHT)
    run = agentos.at(address(keyed), "run_team", team_id="demo-team", message="[[SAY hello]]", headers=RIGHT)
    assert run["content"] == "hello"


@pytest.mark.needs("JWT_VERIFICATION_KEY")
def test_an_expired_token_is_renewed_once(browser: Callable[[str], Driver], signed: Process, signer: Signer) -> None:
    page = opened(browser, signed, authToken=signer.token("ann", -600), refreshed=signer.token("ann"))
    assert page.do("fetchTeams")
    assert page.look()["refreshes"] == 1
    page.answered("[[SAY hello]]")
    assert page.last["content"] == "hello"
    assert page.look()["refreshes"] == 1


@pytest.mark.needs("JWT_VERIFICATION_KEY")
def test_a_message_with_an_expired_token_says_so(
    browser: Callable[[str], Driver], signed: Process, signer: Signer
) -> None:
    page = opened(browser, signed, authToken=signer.token("ann", -600))
    page.send("hello")
    assert "Token has expired" in page.state["errorMessage"]


@pytest.mark.needs("JWT_VERIFICATION_KEY")
def test_the_token_says_whose_run_it_is(agentos: Driver, signed: Process, signer: Signer) -> None:
    headers = {"Authorization": f"Bearer {signer.token('ann')}"}
    arguments = {"team_id": "demo-team", "message": "hello", "user_id": "somebody else", "headers": headers}
    assert agentos.at(address(signed), "run_team", **arguments)["user_id"] == "ann"
