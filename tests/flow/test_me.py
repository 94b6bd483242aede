"""A caller asks who it is, and its name stands in what it decides."""

from pathlib import Path
from typing import Any

import pytest

from tests.flow.test_approvals import Shop, paused, pending, resolve
from tests.support.app import Serve
from tests.support.http import ServerClient, problem
from tests.support.tokens import Issuer, public_pem, rsa_key

ADMIN = "agent_os:admin"
PEM = public_pem(rsa_key())


async def me(client: ServerClient, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = await client.http.get("/me", headers=headers)
    assert answer.status_code == 200, answer.text
    caller: dict[str, Any] = answer.json()
    return caller


async def test_without_authentication_anyone_may_do_everything(client: ServerClient) -> None:
    assert await me(client) == {
        "user_id": None,
        "principal": "open",
        "name": None,
        "scopes": [ADMIN],
        "is_admin": True,
        "auth_required": False,
    }


async def test_a_key_names_no_user(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        problem(await client.http.get("/me"), 401, "UNAUTHENTICATED")
        problem(await client.http.get("/me", headers={"authorization": "Bearer other"}), 401, "UNAUTHENTICATED")
        caller = await me(client, {"authorization": "Bearer the-key"})
    assert (caller["principal"], caller["user_id"], caller["is_admin"]) == ("security_key", None, True)
    assert caller["auth_required"] is True


async def test_a_token_names_its_user_and_needs_no_scope(serve: Serve) -> None:
    async with serve(jwt_verification_key=PEM) as client:
        assert await me(client, Issuer().bearer("ada", "teams:run", "approvals:read", name="Ada Lovelace")) == {
            "user_id": "ada",
            "principal": "user",
            "name": "Ada Lovelace",
            "scopes": ["approvals:read", "teams:run"],
            "is_admin": False,
            "auth_required": True,
        }
        without = await me(client, Issuer().bearer("eve"))
        assert (without["user_id"], without["name"], without["scopes"]) == ("eve", None, [])
        assert (await me(client, Issuer().bearer("root", ADMIN)))["is_admin"] is True
        problem(await client.http.get("/me", headers=Issuer().bearer("ada", lives=-60)), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", [7, "", "x" * 256, "a\nb", ["Ada"]])
async def test_a_strange_name_in_a_token_is_left_out(serve: Serve, name: Any) -> None:
    async with serve(jwt_verification_key=PEM) as client:
        assert (await me(client, Issuer().bearer("ada", name=name)))["name"] is None


async def test_a_service_account(serve: Serve) -> None:
    key = {"authorization": "Bearer the-key"}
    async with serve(security_key="the-key") as client:
        account = await client.http.post("/service-accounts", json={"name": "nightly"}, headers=key)
        caller = await me(client, {"authorization": f"Bearer {account.json()['token']}"})
    assert (caller["principal"], caller["user_id"], caller["name"]) == (
        "service_account",
        "service:nightly",
        "nightly",
    )
    assert caller["is_admin"] is False


async def test_the_user_of_a_token_is_who_decided_whatever_the_client_says(database: Path) -> None:
    shop = Shop(database)
    async with shop.serving(jwt_verification_key=PEM) as client:
        client.http.headers.update(Issuer().bearer("ada", ADMIN))
        await paused(client)
        (approval,) = await pending(client)
        answer = await resolve(client, approval["id"], resolved_by="somebody else")
        assert answer.json()["resolved_by"] == "ada"
        assert (await client.get(f"/approvals/{approval['id']}"))["resolved_by"] == "ada"
