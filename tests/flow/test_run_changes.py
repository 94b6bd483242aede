"""The feed of all runs over HTTP: its messages, cursors, scopes, and how it ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

import musterd
from musterd.service import run_feed
from tests.flow.test_approvals import Shop, paused, pending, resolve
from tests.support.app import Serve, app_on, on_loopback
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.tokens import SHORT_SECONDS, Issuer, public_pem, rsa_key, shortly_before_the_end

PATH = "/runs/changes"
PATIENCE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "LOOK_SECONDS", 0.02)


class Message(NamedTuple):
    name: str
    id: str
    data: dict[str, Any]

    def matches(self, name: str, fields: dict[str, Any]) -> bool:
        """Whether it has this name and these fields."""
        return self.name == name and fields.items() <= self.data.items()


class Feed:
    """A feed that is being read."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.messages: list[Message] = []
        self._texts, self._text = answer.aiter_text(), ""

    async def until(self, name: str, **fields: Any) -> Message:
        """The next message of this name with these fields."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (message := await self._next()).matches(name, fields):
                pass
        return message

    async def until_all(self, *expected: tuple[str, dict[str, Any]]) -> None:
        """Read until there was a message of each name with these fields, in any order."""
        missing = list(expected)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while missing:
                message = await self._next()
                missing = [one for one in missing if not message.matches(*one)]

    async def _next(self) -> Message:
        while True:
            while "\n\n" in self._text:
                block, _, self._text = self._text.partition("\n\n")
                if block.startswith(":"):
                    continue
                event, number, data = block.split("\n")
                message = Message(
                    event.removeprefix("event: "), number.removeprefix("id: "), json.loads(data.removeprefix("data: "))
                )
                self.messages.append(message)
                return message
            self._text += await anext(self._texts)

    async def rest(self) -> None:
        """Read until the server closes the stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for text in self._texts:
                self._text += text


@contextlib.asynccontextmanager
async def feed_of(client: ServerClient, last_id: str | None = None, **headers: str) -> AsyncIterator[Feed]:
    sent = headers if last_id is None else {**headers, "Last-Event-ID": last_id}
    async with client.http.stream("GET", PATH, headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Feed(answer)


async def test_messages(serve_live: Serve) -> None:
    async with serve_live() as client, feed_of(client) as feed:
        assert feed.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        hello = await feed.until("hello")
        assert hello.data == {
            "server_id": client.server.worker.worker_id,
            "version": musterd.__version__,
            "now": hello.data["now"],
            "is_complete": True,
        }
        assert (await feed.until("counts")).data == {"pending_approvals": 0}
        run = await client.run("hello", session_id="s1")
        message = await feed.until("run", run_id=run["run_id"], status="COMPLETED")
        listed = (await client.get("/runs", view="summary"))["data"]
        assert message.data == listed[0]
        assert abs(int(message.id) / 1000 - hello.data["now"]) < 60


async def test_approvals_and_their_count(database: Path) -> None:
    async with on_loopback(app_on(database, served=Shop(database).sample())) as client, feed_of(client) as feed:
        await paused(client)
        (approval,) = await pending(client)
        message = await feed.until("approval")
        assert (message.data["id"], message.data["run_id"], message.data["status"]) == (approval["id"], "r1", "pending")
        await feed.until("counts", pending_approvals=1)
        await resolve(client, approval["id"])
        # In any order: the run may have ended when the feed looks next.
        await feed.until_all(
            ("approval", {"id": approval["id"], "status": "approved"}),
            ("counts", {"pending_approvals": 0}),
            ("run", {"status": "COMPLETED"}),
        )


async def test_readers_are_counted(serve_live: Serve) -> None:
    async with serve_live() as client, feed_of(client) as feed:
        await feed.until("hello")
        assert (await client.get("/-/status"))["streams_open"] == 1
        assert "musterd_readers 1.0" in (await client.http.get("/-/metrics")).text


async def test_a_client_comes_back_after_a_restart(serve_live: Serve) -> None:
    async with serve_live() as client:
        async with feed_of(client) as feed:
            await client.run("hello", session_id="s1", run_id="r1")
            last = (await feed.until("run", run_id="r1", status="COMPLETED")).id
        await client.run("hello", session_id="s1", run_id="r2")
    async with serve_live() as client, feed_of(client, last) as feed:
        await feed.until("run", run_id="r2", status="COMPLETED")
        assert [message.name for message in feed.messages][:1] == ["hello"]
        await client.run("hello", session_id="s1", run_id="r3")
        await feed.until("run", run_id="r3", status="COMPLETED")


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30])
async def test_a_cursor_that_is_none(client: ServerClient, cursor: str) -> None:
    answer = await client.http.get(PATH, headers={"Last-Event-ID": cursor})
    assert wrong_fields(answer) == [("header", "Last-Event-ID")]


async def test_who_reads_what(serve_live: Serve) -> None:
    everything = ("runs:read", "teams:run", "approvals:read")
    ada, eve = Issuer().bearer("ada", *everything), Issuer().bearer("eve", "runs:read", "teams:run")
    async with serve_live(jwt_verification_key=public_pem(rsa_key())) as client:
        problem(await client.http.get(PATH), 401, "UNAUTHENTICATED")
        problem(await client.http.get(PATH, headers=Issuer().bearer("ada", "teams:run")), 403, "FORBIDDEN")
        async with feed_of(client, **ada) as own, feed_of(client, **eve) as other:
            await other.until("hello")
            await client.run("hello", session_id="s1", run_id="r1", headers=ada)
            await own.until("run", status="COMPLETED")
            mine = await client.run("hello", session_id="s2", headers=eve)
            await other.until("run", run_id=mine["run_id"], status="COMPLETED")
            names = {message.name for message in other.messages}
            assert names == {"hello", "run"}, "without approvals:read there are no approvals"
            assert {message.data["run_id"] for message in other.messages if message.name == "run"} == {mine["run_id"]}


async def test_a_revoked_account_reads_no_further(serve_live: Serve) -> None:
    key = {"authorization": "Bearer the-key"}
    async with serve_live(security_key="the-key") as client:
        body = {"name": "page", "scopes": [{"scope": "runs:read"}]}
        account = (await client.http.post("/service-accounts", json=body, headers=key)).json()
        async with feed_of(client, authorization=f"Bearer {account['token']}") as feed:
            await feed.until("hello")
            await client.http.delete(f"/service-accounts/{account['id']}", headers=key)
            await feed.rest()
        assert client.server.feed.reader_count == 0


async def test_an_expired_token_reads_no_further(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_live(jwt_verification_key=public_pem(rsa_key()), jwt_leeway_seconds=0) as client:
        bearer = Issuer().bearer("ada", "runs:read", lives=SHORT_SECONDS)
        shortly_before_the_end(monkeypatch)
        async with feed_of(client, **bearer) as feed:
            await feed.until("hello")
            await feed.rest()


async def test_it_ends_with_the_server_and_when_the_client_goes(serve_live: Serve) -> None:
    async with serve_live() as client:
        async with feed_of(client) as feed:
            await feed.until("hello")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while client.server.feed.reader_count:
                await asyncio.wait([asyncio.ensure_future(client.http.get("/health"))])
        async with feed_of(client) as feed:
            await feed.until("hello")
            client.server.begin_stop()
            await feed.rest()


async def test_an_idle_feed_is_kept_open(serve_live: Serve) -> None:
    async with serve_live(ping_seconds=0.02) as client, client.http.stream("GET", PATH) as answer:
        text, texts = "", answer.aiter_text()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while text.count(": ping\n\n") < 2:
                text += await anext(texts)
