"""Readiness, check by check: each says by its name what is the matter, and mends when it does."""

import asyncio
import json
import re
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.http import readiness
from musterd.http.auth import middleware
from musterd.store.schema import HEAD
from tests.support.app import Serve
from tests.support.http import ServerClient, problem
from tests.support.store import Records

CHECKS = ["accepting", "worker", "beats", "event_loop", "database", "schema", "served"]


async def failing(client: ServerClient) -> dict[str, str]:
    """The checks that fail, with what they say; all of it stands in the answer's words too."""
    answer = await client.http.get("/-/ready")
    if answer.status_code == 200:
        return {}
    detail, checks = problem(answer, 503, "UNAVAILABLE"), answer.json()["checks"]
    assert list(checks) == CHECKS
    assert int(answer.headers["retry-after"]) > 0
    failures = {name: said for name, said in checks.items() if said != "ok"}
    assert all(said in detail for said in failures.values())
    return failures


async def test_all_is_well(client: ServerClient) -> None:
    body = await client.get("/-/ready")
    assert body["checks"] == dict.fromkeys(CHECKS, "ok")


async def test_a_database_that_can_only_be_read(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(client.server.database, "write", refuse)
        assert await failing(client) == {"database": "The database cannot be used now."}
    assert await failing(client) == {}


async def test_a_database_that_does_not_answer(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = readiness.LONGEST_SECONDS

    def never_answer(work: object) -> asyncio.Future[None]:
        monkeypatch.setattr(readiness, "LONGEST_SECONDS", patience)  # the other checks get an answer, sooner or later
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(readiness, "LONGEST_SECONDS", 0.01)
    monkeypatch.setattr(client.server.database, "write", never_answer)
    assert set(await failing(client)) == {"database"}


async def test_it_is_written_once_a_second_at_most(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readiness.WRITTEN_SECONDS == 1
    monkeypatch.setattr(readiness, "WRITTEN_SECONDS", 60)  # on a busy machine the second may pass meanwhile

    async def beat() -> int:
        rows = await Records(client.server.database).select("SELECT heartbeat FROM workers")
        return int(rows[0]["heartbeat"])

    before = await beat()
    for _ in range(5):
        assert await failing(client) == {}
    assert await beat() == before + 1


async def test_a_newer_program_has_changed_the_schema(client: ServerClient) -> None:
    records = Records(client.server.database)
    await records.execute("UPDATE alembic_version SET version_num = 'v9999'")
    assert await failing(client) == {}, "it says that this one may go on"
    await records.execute("UPDATE instance SET oldest_writer = 'v9999'")
    assert "newer musterd" in (await failing(client))["schema"]
    await records.execute("UPDATE alembic_version SET version_num = :head", head=HEAD)
    assert await failing(client) == {}


async def test_an_older_file_was_put_in_its_place(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "HEAD", "v9999")
    assert "older schema" in (await failing(client))["schema"]


async def test_a_development_version_s_file_was_put_in_its_place(client: ServerClient) -> None:
    await Records(client.server.database).execute("UPDATE alembic_version SET version_num = '0001'")
    assert "development version" in (await failing(client))["schema"]


async def test_a_process_that_does_not_show_that_it_lives(client: ServerClient) -> None:
    heartbeat = client.server.bus.membership._heartbeat
    assert heartbeat is not None
    heartbeat.stop()
    heartbeat.join()
    heartbeat.last_beat_at -= 90
    assert re.search(r" (9\d|1\d\d) s ago", (await failing(client))["beats"])


async def test_a_loop_that_is_held_up(client: ServerClient) -> None:
    client.server.lag.last_seconds = 75.5
    assert "75.5 s late" in (await failing(client))["event_loop"]


async def test_a_process_that_claims_no_more(client: ServerClient) -> None:
    claimer = client.server.worker._claimer
    assert claimer is not None
    claimer.cancel()
    await asyncio.wait([claimer])
    assert set(await failing(client)) == {"worker"}


async def unserved(client: ServerClient, *headers: dict[str, str]) -> list[tuple[int, dict[str, Any]]]:
    """What readiness answers to each of these, while runs wait of a component that is served here, or of another."""
    answers = []
    for one in headers:
        answer = await client.http.get("/-/ready", headers=one)
        answers.append((answer.status_code, answer.json()))
    return answers


KEY = "the-key-of-this-server"
KEYED: list[dict[str, str]] = [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {KEY}"}]


async def test_what_is_not_driven_is_named_to_whoever_has_the_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waiting() -> list[str]:
        return [name]

    async with serve(security_key=KEY) as client:
        monkeypatch.setattr(client.server.worker, "unserved", waiting)
        name = "agent:solo-agent"
        *others, (status, body) = await unserved(client, *KEYED)
        words = "Runs are waiting for teams or agents that no process drives: {}. Start a worker for them."
        assert [(code, one["checks"]["served"]) for code, one in others] == [(503, words.format(1))] * 2
        assert not any(name in json.dumps(one) for _, one in others)
        assert (status, body["checks"]["served"]) == (503, words.format(name))
        name = "agent:elsewhere"
        *others, (status, body) = await unserved(client, *KEYED)
        assert [(code, one["not_served_count"], "not_served" in one) for code, one in others] == [(200, 1, False)] * 2
        assert (status, body["not_served"]) == (200, [name])


async def test_without_a_key_everybody_is_an_administrator(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waiting() -> list[str]:
        return ["agent:elsewhere"]

    monkeypatch.setattr(client.server.worker, "unserved", waiting)
    assert (await client.get("/-/ready"))["not_served"] == ["agent:elsewhere"]


async def test_a_database_that_is_away_is_told_to_accounts_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StoreUnavailable

    async with serve(security_key=KEY) as client:
        with monkeypatch.context() as patch:
            patch.setattr(client.server.database, "read", refuse)
            (status, body), *_ = await unserved(client, {"authorization": "Bearer msa_" + "0" * 64})
        assert (status, body["checks"]["schema"]) == (503, "The database cannot be used now.")


async def test_a_database_that_hangs_holds_no_account_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(security_key=KEY) as client:
        never = asyncio.get_running_loop().create_future()
        with monkeypatch.context() as patch:
            patch.setattr(readiness, "LONGEST_SECONDS", 0.01)
            patch.setattr(middleware, "OPTIONAL_AUTH_SECONDS", 0.01)
            patch.setattr(client.server.database, "read", lambda work: asyncio.shield(never))
            (status, body), *_ = await unserved(client, {"authorization": "Bearer msa_" + "0" * 64})
        assert (status, "did not answer" in body["checks"]["schema"]) == (503, True)


async def test_a_guess_at_the_key_counts(serve: Serve) -> None:
    async with serve(security_key=KEY, auth_failures_per_minute=1) as client:
        await unserved(client, KEYED[1])
        assert (await client.http.get("/teams", headers=KEYED[1])).status_code == 429


async def test_a_process_that_stops(serve: Serve) -> None:
    async with serve() as client:
        client.server.begin_stop()
        assert "accepting" in await failing(client)
