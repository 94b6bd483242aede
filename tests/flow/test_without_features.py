"""A server without any feature: runs, keys and tokens of external issuers work, and runs are removed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from musterd import app
from tests.support.app import Serve
from tests.support.http import problem
from tests.support.tokens import Issuer, public_pem, rsa_key

KEY = {"authorization": "Bearer the-key"}
ACCOUNT = {"authorization": f"Bearer msa_{'0' * 64}"}
PATHS = ("/service-accounts", "/memories", "/traces", "/metrics")


@pytest.fixture(autouse=True)
def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FEATURES", [])


async def test_a_key_is_accepted_and_tokens_of_accounts_are_not(serve: Serve) -> None:
    async with serve(security_key="the-key") as client:
        assert (await client.post(stream="false", headers=KEY)).json()["status"] == "COMPLETED"
        problem(await client.http.get("/teams", headers=ACCOUNT), 401, "UNAUTHENTICATED")
        for path in PATHS:
            problem(await client.http.get(path, headers=KEY), 404, "NOT_FOUND")


async def test_tokens_of_external_issuers_are_accepted_and_tokens_of_accounts_are_not(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key())) as client:
        ada = Issuer().bearer("ada", "teams:run")
        assert (await client.post(stream="false", headers=ada)).json()["status"] == "COMPLETED"
        problem(await client.http.get("/teams", headers=ACCOUNT), 401, "UNAUTHENTICATED")
        problem(await client.http.get("/teams", headers=Issuer().bearer("service:ci")), 401, "UNAUTHENTICATED")


async def test_runs_of_a_deleted_session_are_removed(serve: Serve, database: Path) -> None:
    async with serve() as client:
        await client.run("hello", session_id="s1")
        assert (await client.http.delete("/sessions/s1")).status_code == 204
        await client.server.worker.upkeep.deletions.once()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM daily_metrics").fetchall() == [(0,)]
