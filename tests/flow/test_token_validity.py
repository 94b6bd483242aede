"""Streams and waiting requests end when the caller's token does; the runs that they follow go on."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from musterd.core.errors import StoreUnavailable
from musterd.features.accounts import revocations
from musterd.features.accounts.service import AccountService
from musterd.features.knowledge.service import KnowledgeService
from tests.support.app import Serve
from tests.support.http import Reader, ServerClient, problem
from tests.support.knowledge_contents import CONTENT, FakeEmbedder, ServeDocs, text_form
from tests.support.tokens import SHORT_SECONDS, Issuer, after_the_end, public_pem, rsa_key, shortly_before_the_end

KEY = {"authorization": "Bearer the-key"}
ADMIN = Issuer().bearer("root", "agent_os:admin")
RUN = {"message": "wait", "run_id": "r1", "session_id": "s1"}
RUNS = "/teams/demo-team/runs"
PATIENCE_SECONDS = 120
SCOPES = ("teams:run", "sessions:read", "knowledge:read")

Request = tuple[str, str, dict[str, Any]]
STREAMS: dict[str, Request] = {
    "events": (
        "GET",
        f"{RUNS}/r1/events",
        {"params": {"session_id": "s1"}, "headers": {"accept": "text/event-stream"}},
    ),
    "resume": ("POST", f"{RUNS}/r1/resume", {"data": {"session_id": "s1"}}),
    "session": ("GET", "/sessions/s1/events", {}),
    "replay": ("POST", RUNS, {"data": {**RUN, "stream": "true"}}),
}
End = Callable[[], Coroutine[Any, Any, object]]


@asynccontextmanager
async def account(client: ServerClient) -> AsyncIterator[tuple[dict[str, str], End]]:
    """The header of a new service account, and what revokes it over HTTP."""
    body = {"name": "ci", "scopes": [{"scope": scope} for scope in SCOPES]}
    created = (await client.http.post("/service-accounts", json=body, headers=KEY)).json()

    async def revoke() -> None:
        assert (await client.http.delete(f"/service-accounts/{created['id']}", headers=KEY)).status_code == 204

    yield {"authorization": f"Bearer {created['token']}"}, revoke
    await client.server.service(AccountService).tokens.use_written()


async def held(client: ServerClient, headers: dict[str, str], **fields: str) -> None:
    """A run that has said something, and waits."""
    hold = client.model.hold("wait", after=1)
    answer = await client.http.post(RUNS, data={**RUN, "background": "true", **fields}, headers=headers)
    assert answer.status_code == 202
    await hold.reached.wait()


@asynccontextmanager
async def opened(client: ServerClient, stream: Request, headers: dict[str, str]) -> AsyncIterator[Reader]:
    """A stream that has shown what the run said so far."""
    method, path, options = stream
    options = {**options, "headers": {**options.get("headers", {}), **headers}}
    async with asyncio.timeout(PATIENCE_SECONDS), client.opened(method, path, **options) as reader:
        await reader.until("TeamRunContent")
        yield reader


async def closes(reader: Reader) -> None:
    """The stream closes, and tells of no end; that it had caught up may come after what it missed."""
    assert {event["event"] for event in await reader.rest()} <= {"subscribed"}


async def refused(client: ServerClient, stream: Request, headers: dict[str, str]) -> str:
    """What the same request is answered with now."""
    method, path, options = stream
    options = {**options, "headers": {**options.get("headers", {}), **headers}}
    return problem(await client.http.request(method, path, **options), 401, "UNAUTHENTICATED")


async def run_of(client: ServerClient, by: dict[str, str]) -> dict[str, Any]:
    """The run once it has ended."""
    answer = await client.http.get(f"{RUNS}/r1", params={"session_id": "s1", "wait": 60}, headers=by)
    return dict(answer.json())


@pytest.mark.parametrize("stream", STREAMS)
async def test_revoking_an_account_ends_its_streams(serve_live: Serve, stream: str) -> None:
    async with serve_live(security_key="the-key") as client, account(client) as (headers, revoke):
        await held(client, headers, stream="false")
        async with opened(client, STREAMS[stream], headers) as reader:
            await revoke()
            await closes(reader)
        assert await refused(client, STREAMS[stream], headers) == "Invalid authentication token"
        client.model.release()
        assert (await run_of(client, KEY))["status"] == "COMPLETED"


async def test_the_expiry_of_a_token_ends_its_stream(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_leeway_seconds": 0}
    async with serve_live(**keys) as client:
        await held(client, Issuer().bearer("ada", *SCOPES), stream="false")
        short = Issuer().bearer("ada", *SCOPES, lives=SHORT_SECONDS)
        shortly_before_the_end(monkeypatch)
        async with opened(client, STREAMS["session"], short) as reader:
            await closes(reader)
        after_the_end(monkeypatch)
        assert await refused(client, STREAMS["session"], short) == "Token has expired"
        client.model.release()
        assert (await run_of(client, Issuer().bearer("root", "agent_os:admin")))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "statement", ["UPDATE service_accounts SET revoked_at = 1", "DELETE FROM service_accounts"], ids=["revoked", "gone"]
)
async def test_a_revocation_by_another_process_ends_streams(
    serve_live: Serve, database: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(revocations, "CHECK_SECONDS", 0.05)
    async with serve_live(security_key="the-key") as client, account(client) as (headers, _):
        await held(client, headers, stream="false")
        async with opened(client, STREAMS["session"], headers) as reader:
            await client.server.service(AccountService).tokens.use_written()
            with closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as other, other:
                other.execute(statement)
            await closes(reader)
        # The account is not remembered as valid either.
        assert await refused(client, STREAMS["session"], headers) == "Invalid authentication token"


async def test_a_run_whose_only_stream_was_ended_by_a_revocation_goes_on(serve_live: Serve) -> None:
    serving = serve_live(security_key="the-key", disconnect_seconds=0.02)
    async with serving as client, account(client) as (headers, revoke):
        client.model.hold("wait", after=1)
        own: Request = ("POST", RUNS, {"data": {**RUN, "stream": "true"}})
        async with opened(client, own, headers) as reader, opened(client, STREAMS["session"], headers) as follower:
            await revoke()
            await closes(reader)
            await closes(follower)
        assert not client.server.runs.connected_clients.tracks(reader.events[0]["run_id"])
        client.model.release()
        assert (await run_of(client, KEY))["status"] == "COMPLETED"


async def test_a_waiting_poll_is_refused_when_its_account_is_revoked(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live(security_key="the-key") as client, account(client) as (headers, revoke):
        await held(client, headers, stream="false")
        query: dict[str, str | int] = {"session_id": "s1", "wait": 60}
        waits = tells_who_waits(client, monkeypatch)
        polling = asyncio.ensure_future(client.http.get(f"{RUNS}/r1", params=query, headers=headers))
        await waits.wait()
        await revoke()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert problem(await polling, 401, "UNAUTHENTICATED") == "Invalid authentication token"
        client.model.release()


async def unread_content(client: ServerClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a content whose job does not end."""

    async def documents(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(FakeEmbedder, "documents", documents)
    answer = await client.http.post(CONTENT, data=text_form("Oslo", "norway"), headers=headers)
    assert answer.status_code == 202
    return f"{CONTENT}/{answer.json()['id']}"


@pytest.mark.parametrize("view", ["", "/status"])
async def test_a_wait_for_a_content_is_refused_when_its_account_is_revoked(
    serve_docs: ServeDocs, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    async with serve_docs(security_key="the-key") as client, account(client) as (headers, revoke):
        path = await unread_content(client, KEY, monkeypatch)
        waits, service = asyncio.Event(), client.server.service(KnowledgeService)
        read = service.view

        async def read_and_tell(*content: Any) -> Any:
            waits.set()
            return await read(*content)

        monkeypatch.setattr(service, "view", read_and_tell)
        polling = asyncio.ensure_future(client.http.get(path + view, params={"wait": 60}, headers=headers))
        await waits.wait()
        await revoke()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert problem(await polling, 401, "UNAUTHENTICATED") == "Invalid authentication token"


@pytest.mark.parametrize("view", ["", "/status"])
async def test_a_wait_for_a_content_is_refused_when_its_token_expires(
    serve_docs: ServeDocs, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    keys: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_leeway_seconds": 0}
    async with serve_docs(**keys) as client:
        path = await unread_content(client, ADMIN, monkeypatch)
        short = Issuer().bearer("ada", *SCOPES, lives=SHORT_SECONDS)
        shortly_before_the_end(monkeypatch)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await client.http.get(path + view, params={"wait": 60}, headers=short)
        assert problem(answer, 401, "UNAUTHENTICATED") == "Token has expired"


async def test_a_run_that_is_waited_for_is_answered_with_a_receipt(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal would make clients start it again."""
    async with serve_live(security_key="the-key") as client, account(client) as (headers, revoke):
        hold, waits = client.model.hold("wait", after=1), tells_who_waits(client, monkeypatch)
        posting = asyncio.ensure_future(client.http.post(RUNS, data={**RUN, "stream": "false"}, headers=headers))
        await hold.reached.wait()
        await waits.wait()
        await revoke()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer: httpx2.Response = await posting
        run_id = answer.json()["run_id"]
        assert (answer.status_code, answer.headers["location"]) == (202, f"{RUNS}/{run_id}?session_id=s1")
        assert answer.json() == {"run_id": run_id, "session_id": "s1", "status": "PENDING"}
        hold.release()
        assert (await run_of(client, KEY))["status"] == "COMPLETED"


async def test_while_the_database_is_away_streams_stay(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "CHECK_SECONDS", 0.01)
    tried = asyncio.Event()

    async def away(work: object) -> None:
        tried.set()
        raise StoreUnavailable

    async with serve_live(security_key="the-key") as client, account(client) as (headers, _):
        await held(client, headers, stream="false")
        async with opened(client, STREAMS["resume"], headers) as reader:
            with monkeypatch.context() as outage:
                outage.setattr(client.server.database, "scan", away)
                await tried.wait()
            client.model.release()
            await reader.until("TeamRunCompleted")


async def test_a_check_that_fails_is_made_again(
    serve_live: Serve, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "CHECK_SECONDS", 0.05)
    tried = asyncio.Event()

    async def fail(work: object) -> None:
        tried.set()
        raise RuntimeError("a defect")

    async with serve_live(security_key="the-key") as client, account(client) as (headers, _):
        await held(client, headers, stream="false")
        async with opened(client, STREAMS["session"], headers) as reader:
            with monkeypatch.context() as defect:
                defect.setattr(client.server.database, "scan", fail)
                await tried.wait()
            await client.server.service(AccountService).tokens.use_written()
            with closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as other, other:
                other.execute("UPDATE service_accounts SET revoked_at = 1")
            await closes(reader)
        client.model.release()


async def test_nothing_is_looked_at_for_callers_that_cannot_be_revoked(serve_live: Serve) -> None:
    async with serve_live(security_key="the-key") as client:
        await held(client, KEY, stream="false")
        async with opened(client, STREAMS["session"], KEY):
            assert client.server.service(AccountService).tokens._watch._checking is None
        client.model.release()


def tells_who_waits(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a request begins to wait for a run."""
    waits, presence = asyncio.Event(), client.server.runs.connected_clients
    enter = presence.enter

    def enter_and_tell(root_id: str) -> None:
        enter(root_id)
        waits.set()

    monkeypatch.setattr(presence, "enter", enter_and_tell)
    return waits
