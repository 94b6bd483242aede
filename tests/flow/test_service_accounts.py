"""Service accounts: created, listed and revoked over HTTP; requests with their tokens."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsInt, IsStr

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.features.accounts.service import AccountService
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

KEY = {"authorization": "Bearer the-key"}
RUN = [{"scope": "teams:run"}]


async def create(client: ServerClient, name: str = "ci", by: dict[str, str] = KEY, **more: Any) -> dict[str, Any]:
    answer = await client.http.post("/service-accounts", json={"name": name, **more}, headers=by)
    assert answer.status_code == 201, answer.text
    account: dict[str, Any] = answer.json()
    return account


def bearer(account: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {account['token']}"}


async def test_an_account_is_made_and_its_token_is_shown_once(serve: Serve, database: Path) -> None:
    async with serve(security_key="the-key") as client:
        account = await create(client, scopes=[*RUN, {"scope": "teams:desk:read"}])
        token = account.pop("token")
        assert account == {
            "id": IsStr,
            "name": "ci",
            "principal": "service:ci",
            "user_id": "service:ci",
            "token_prefix": token[:12],
            "scopes": [
                {
                    "raw": "teams:desk:read",
                    "namespace": "teams",
                    "sub_namespace": None,
                    "id": "desk",
                    "permission": "read",
                    "value": "allow",
                },
                {
                    "raw": "teams:run",
                    "namespace": "teams",
                    "sub_namespace": None,
                    "id": None,
                    "permission": "run",
                    "value": "allow",
                },
            ],
            "created_at": IsInt,
            "created_by": None,
            "expires_at": account["created_at"] + 90 * 24 * 3600,
            "last_used_at": None,
            "revoked_at": None,
        }
        assert len(token) == 4 + 64
        listed = await client.http.get("/service-accounts", headers=KEY)
        assert listed.json()["data"] == [account]
        assert token not in listed.text
    with closing(sqlite3.connect(database, timeout=60)) as stored:
        assert token not in "\n".join(stored.iterdump())


async def test_what_an_account_makes_is_its_own(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        ci, cd = await create(client, "ci"), await create(client, "cd")
        run = (await client.post(stream="false", headers=bearer(ci))).json()
        assert run["user_id"] == "service:ci"
        path = f"/teams/demo-team/runs/{run['run_id']}?session_id={run['session_id']}"
        assert (await client.http.get(path, headers=bearer(ci))).status_code == 200
        problem(await client.http.get(path, headers=bearer(cd)), 404, "NOT_FOUND")
        assert (await client.http.get(path, headers=KEY)).status_code == 200
        problem(await client.http.get("/config", headers=bearer(ci)), 403, "FORBIDDEN")
        problem(await client.http.post("/service-accounts", json={"name": "x"}, headers=bearer(ci)), 403, "FORBIDDEN")


async def test_a_revoked_account_is_let_in_no_more(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        account = await create(client)
        assert (await client.http.get("/teams", headers=bearer(account))).status_code == 200
        one = f"/service-accounts/{account['id']}"
        assert (await client.http.delete(one, headers=KEY)).status_code == 204
        problem(await client.http.get("/teams", headers=bearer(account)), 401, "UNAUTHENTICATED")
        assert (await client.http.delete(one, headers=KEY)).status_code == 204
        problem(await client.http.delete("/service-accounts/nope", headers=KEY), 404, "NOT_FOUND")
        (listed,) = (await client.http.get("/service-accounts", headers=KEY)).json()["data"]
        assert listed["revoked_at"] == IsInt
        current = await client.http.get("/service-accounts", params={"include_revoked": "false"}, headers=KEY)
        assert current.json()["data"] == []
        again = await create(client)  # its name is free
        assert again["token"] != account["token"]


async def test_revoked_elsewhere_it_is_refused_within_seconds(
    serve: Serve, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(security_key="the-key") as client:
        account = await create(client)
        assert (await client.http.get("/teams", headers=bearer(account))).status_code == 200
        await client.server.service(AccountService).tokens.use_written()
        with closing(sqlite3.connect(database, timeout=60)) as other, other:
            other.execute("UPDATE service_accounts SET revoked_at = 1")
        later = clock.monotonic() + 5.1
        monkeypatch.setattr(clock, "monotonic", lambda: later)
        problem(await client.http.get("/teams", headers=bearer(account)), 401, "UNAUTHENTICATED")


async def test_an_account_expires(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(security_key="the-key") as client:
        short, never = (
            await create(client, "short", expires_in_days=1),
            await create(client, "never", never_expires=True),
        )
        assert never["expires_at"] is None
        later = clock.now() + 24 * 3600 + 1
        monkeypatch.setattr(clock, "now", lambda: later)
        answer = await client.http.get("/teams", headers=bearer(short))
        assert problem(answer, 401, "UNAUTHENTICATED") == "Token has expired"
        assert (await client.http.get("/teams", headers=bearer(never))).status_code == 200


async def test_when_it_was_used_is_noted_once_in_a_while(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        account = await create(client)
        for _ in range(3):
            await client.http.get("/teams", headers=bearer(account))
        await client.server.service(AccountService).tokens.use_written()
        (listed,) = (await client.http.get("/service-accounts", headers=KEY)).json()["data"]
        assert listed["last_used_at"] == IsInt(ge=account["created_at"])


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"name": 7}, "name"),
        ({"name": "ci", "scopes": []}, "scopes"),
        ({"name": "ci", "scopes": "teams:run"}, "scopes"),
        ({"name": "ci", "scopes": ["teams:run"]}, "scopes"),
        ({"name": "ci", "scopes": [{"scope": "teams"}]}, "scopes"),
        ({"name": "ci", "scopes": [{"scope": "teams:"}]}, "scopes"),
        ({"name": "ci", "scopes": [{"scope": "teams: run"}]}, "scopes"),
        ({"name": "ci", "scopes": [{"scope": "teams:run", "effect": "deny"}]}, "scopes"),
        ({"name": "ci", "scopes": [{"scope": "agent_os:admin"}]}, "scopes"),
        ({"name": "ci", "scopes": RUN * 101}, "scopes"),
        ({"name": "ci", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "ci", "expires_in_days": 3651}, "expires_in_days"),
        ({"name": "ci", "never_expires": "perhaps"}, "never_expires"),
    ],
)
async def test_what_cannot_be_made(serve: Serve, body: dict[str, Any], field: str) -> None:
    async with serve(security_key="the-key") as client:
        answer = await client.http.post("/service-accounts", json=body, headers=KEY)
        assert {where[1] for where in wrong_fields(answer)} == {field}
        assert (await client.http.get("/service-accounts", headers=KEY)).json()["data"] == []


async def test_what_is_no_object(client: ServerClient) -> None:
    for content in ("", "{", "[]", "7", "[" * 5000):
        wrong_fields(await client.http.post("/service-accounts", content=content))


async def test_a_name_is_taken_once(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        await create(client)
        problem(await client.http.post("/service-accounts", json={"name": "ci"}, headers=KEY), 409, "CONFLICT")


async def test_an_administrator_is_made_on_purpose_only(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        root = await create(client, "root", scopes=[{"scope": "agent_os:admin"}], allow_privileged_scopes=True)
        account = await create(client, "ci", by=bearer(root))
        assert account["created_by"] == "service:root"
        assert (await client.http.get("/config", headers=bearer(root))).status_code == 200


async def test_accounts_beside_tokens_of_users(serve: Serve) -> None:
    admin = Issuer().bearer("root", "agent_os:admin")
    async with serve(jwt_verification_key=public_pem(rsa_key())) as client:
        account = await create(client, by=admin)
        assert account["created_by"] == "root"
        assert (await client.http.get("/teams", headers=bearer(account))).status_code == 200
        problem(await client.http.get("/teams", headers=Issuer().bearer("service:ci")), 401, "UNAUTHENTICATED")
        assert (await client.get("/info"))["auth_mode"] == "jwt"


async def test_pages_of_accounts(client: ServerClient) -> None:
    for name in ("b", "a", "c"):
        await create(client, name, by={})
    for query, names in (
        ({"sort_by": "name", "sort_order": "asc"}, ["a", "b", "c"]),
        ({"sort_by": "name"}, ["c", "b", "a"]),
        ({"sort_order": "asc", "limit": 2}, ["b", "a"]),
        ({"sort_order": "asc", "limit": 2, "page": 2}, ["c"]),
        ({"sort_by": "last_used_at", "limit": 1}, None),
        ({"sort_by": "nonsense; DROP TABLE runs", "sort_order": "asc"}, ["b", "a", "c"]),
    ):
        page = await client.get("/service-accounts", **query)
        assert names is None or [one["name"] for one in page["data"]] == names
        assert page["meta"]["total_count"] == 3
    for wrong in ({"limit": 0}, {"limit": 101}, {"page": 0}, {"sort_order": "up"}, {"include_revoked": "perhaps"}):
        wrong_fields(await client.http.get("/service-accounts", params=wrong))


async def test_while_the_database_is_away_an_account_cannot_be_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(work: object) -> None:
        raise StoreUnavailable

    async with serve(security_key="the-key") as client:
        account = await create(client)
        monkeypatch.setattr(client.server.database, "read", away)
        answer = await client.http.get("/teams", headers=bearer(account))
        problem(answer, 503, "UNAVAILABLE")
        assert "retry-after" in answer.headers
        assert (await client.http.get("/teams", headers=KEY)).status_code == 200
