"""Run ids that users choose are each user's own; UUIDs, and ids of callers without a user, are the run's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from musterd.core import clock
from tests.support.app import app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, read_stream
from tests.support.tokens import Issuer, public_pem, rsa_key

SCOPES = ("teams:run", "teams:read", "sessions:read")
ADA, EVE = (Issuer().bearer(user, *SCOPES) for user in ("ada", "eve"))
ADMIN = Issuer().bearer("root", "agent_os:admin")
RUNS = "/teams/demo-team/runs"


@pytest.fixture
async def client(database: Path) -> AsyncIterator[ServerClient]:
    model = HeldModel()
    async with in_process(app_on(database, model=model, jwt_verification_key=public_pem(rsa_key())), model) as serving:
        yield serving


async def start(client: ServerClient, by: dict[str, str], run_id: str = "order-17", **fields: Any) -> httpx2.Response:
    return await client.post("hello", run_id=run_id, headers=by, **{"stream": "false", **fields})


async def get_run(client: ServerClient, by: dict[str, str], path: str = "order-17", **query: str) -> httpx2.Response:
    return await client.http.get(f"{RUNS}/{path}", params=query, headers=by)


async def test_two_users_choose_the_same_id(client: ServerClient) -> None:
    """Nothing tells the second one that the first has it."""
    first, second = await start(client, ADA), await start(client, EVE)
    free = await start(client, EVE, "order-18")
    assert first.status_code == second.status_code == free.status_code == 200
    assert second.json().keys() == free.json().keys()
    for by, run in ((ADA, first.json()), (EVE, second.json())):
        assert str(UUID(run["run_id"])) == run["run_id"]
        own = await get_run(client, by, session_id=run["session_id"])
        assert (own.json()["run_id"], own.json()["user_id"]) == (run["run_id"], run["user_id"])
    problem(await get_run(client, EVE, first.json()["run_id"], session_id=first.json()["session_id"]), 404, "NOT_FOUND")
    assert len(client.model.calls) == 3


@pytest.mark.parametrize("form", [{"stream": "false"}, {"stream": "true"}, {"background": "true"}], ids=str)
async def test_the_same_request_again_is_the_same_run(client: ServerClient, form: dict[str, str]) -> None:
    run_id = (await start(client, ADA, session_id="s1")).json()["run_id"]
    again = await start(client, ADA, session_id="s1", **form)
    body = read_stream(again.text)[0] if form.get("stream") == "true" else again.json()
    assert (body["run_id"], len(client.model.calls)) == (run_id, 1)
    problem(await start(client, ADA, session_id="s2"), 409, "CONFLICT")


async def test_two_at_once_are_one_run(client: ServerClient) -> None:
    answers = await asyncio.gather(*(start(client, ADA, session_id="s1") for _ in range(6)))
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert len(client.model.calls) == 1


async def test_every_operation_takes_the_chosen_id(client: ServerClient) -> None:
    run = (await start(client, ADA, session_id="s1")).json()
    for path in ("events", "steps", "messages", "checkpoints"):
        answer = await get_run(client, ADA, f"order-17/{path}", session_id="s1")
        assert answer.status_code == 200, path
    one = await client.http.get("/sessions/s1/runs/order-17", headers=ADA)
    assert one.json()["run_id"] == run["run_id"]
    resumed = await client.http.post(f"{RUNS}/order-17/resume", data={"session_id": "s1"}, headers=ADA)
    assert read_stream(resumed.text)[-1]["run_id"] == run["run_id"]
    cancelled = await client.http.post(f"{RUNS}/order-17/cancel", headers=ADA)
    assert cancelled.json()["run_id"] == run["run_id"]
    problem(await client.http.post(f"{RUNS}/order-17/cancel", headers=EVE), 404, "NOT_FOUND")


async def test_an_administrator_finds_a_users_run_in_its_session(client: ServerClient) -> None:
    run = (await start(client, ADA, session_id="s1")).json()
    assert (await get_run(client, ADMIN, session_id="s1")).json()["run_id"] == run["run_id"]
    head = await client.http.head(f"{RUNS}/order-17", params={"session_id": "s1"}, headers=ADMIN)
    assert head.status_code == 200
    problem(await get_run(client, ADMIN, session_id="s2"), 404, "NOT_FOUND")
    problem(await get_run(client, EVE, session_id="s1"), 404, "NOT_FOUND")


async def test_a_uuid_is_the_runs_id(client: ServerClient) -> None:
    run_id = clock.new_id()
    assert (await start(client, ADA, run_id)).json()["run_id"] == run_id
    problem(await start(client, EVE, run_id), 409, "CONFLICT")
