"""The WebSocket of workflows: AgentOS's frames, behind the checks of every other operation."""

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from musterd.features.accounts import revocations
from musterd.features.accounts.service import AccountService
from musterd.http.event_frames import RunFrames
from tests.flow.test_slow_subscribers import until_disconnected
from tests.support.app import Serve
from tests.support.held_model import HeldModel
from tests.support.http import Receipt, ServerClient
from tests.support.tokens import SHORT_SECONDS, Issuer, public_pem, rsa_key, shortly_before_the_end
from tests.support.workflows import workflow_sample

KEY = "a-key-of-at-least-sixteen-characters"
BY_KEY = {"authorization": f"Bearer {KEY}"}
CONNECTED = {"event": "connected", "message": "Connected to musterd.", "requires_auth": False}


class Socket:
    """A client of the socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, action: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"action": action, **fields}))

    async def receive(self) -> dict[str, Any]:
        """The next frame: JSON, or an event as SSE text."""
        text = await self.connection.recv()
        assert isinstance(text, str)
        if text.startswith("{"):
            message: dict[str, Any] = json.loads(text)
            return message
        name, _, data = text.removesuffix("\n\n").split("\n")
        event: dict[str, Any] = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['event']}"
        return event

    async def receive_all(self) -> None:
        """Receive frames until the server closes the connection.

        :raises ConnectionClosed: it has.
        """
        while True:
            await self.receive()

    async def ask(self, action: str, **fields: Any) -> dict[str, Any]:
        await self.send(action, **fields)
        return await self.receive()

    async def events(self, last: str) -> list[dict[str, Any]]:
        """The frames up to the event of this name."""
        events = [await self.receive()]
        while events[-1]["event"] != last:
            assert events[-1]["event"] not in ("WorkflowError", "error"), events[-1]
            events.append(await self.receive())
        return events


@contextlib.asynccontextmanager
async def socket_on(client: ServerClient, **options: Any) -> AsyncIterator[Socket]:
    """A connection, after its first frame."""
    address = str(client.http.base_url).replace("http", "ws", 1).rstrip("/") + "/workflows/ws"
    patient: dict[str, Any] = {"open_timeout": 60, "close_timeout": 60, "ping_timeout": None}
    async with connect(address, proxy=None, **{**patient, **options}) as connection:
        yield Socket(connection)


@contextlib.asynccontextmanager
async def served(serve_live: Serve, **settings: Any) -> AsyncIterator[ServerClient]:
    model = HeldModel()
    async with serve_live(served=workflow_sample(model), model=model, **settings) as client:
        yield client


async def test_messages(serve_live: Serve) -> None:
    async with served(serve_live) as client, socket_on(client) as socket:
        assert await socket.receive() == CONNECTED
        assert await socket.ask("ping") == {"event": "pong"}
        assert await socket.ask("nope") == {"event": "error", "error": "Unknown action: nope"}
        assert (await socket.ask("start-workflow"))["error"] == "workflow_id is required"
        assert (await socket.ask("start-workflow", workflow_id="nope"))["error"] == "Workflow nope not found"
        assert "message" in (await socket.ask("start-workflow", workflow_id="seq"))["error"]
        assert (await socket.ask("reconnect"))["error"] == "run_id is required for subscription"
        assert (await socket.ask("reconnect", run_id="nope"))["error"] == "Run nope not found"
        assert (await socket.ask("reconnect", run_id="nope", last_event_index=-2))["event"] == "error"
        assert await socket.ask("authenticate") == {"event": "auth_error", "error": "Token is required"}
        assert (await socket.ask("authenticate", token="x"))["event"] == "authenticated"
        for text in ("not json", "[]", '"text"'):
            await socket.connection.send(text)
            assert await socket.receive() == {"event": "error", "error": "A message is a JSON object."}
        assert await socket.ask("ping") == {"event": "pong"}


async def test_a_run_is_the_same_as_in_other_streams(serve_live: Serve) -> None:
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        await socket.send("start-workflow", workflow_id="seq", message="hello", session_id="s1", user_id="u1")
        events = await socket.events("WorkflowCompleted")
        run_id = events[0]["run_id"]
        page = await client.get(f"/workflows/seq/runs/{run_id}/events", session_id="s1")
        assert events == page["events"]
        note, *again = await _replayed(socket, run_id)
        assert note["event"] == "replay"
        assert again == events
        assert [event["event_index"] for event in (await _replayed(socket, run_id, last_event_index=3))[1:]] == [
            event["event_index"] for event in events[4:]
        ]


async def test_a_reader_that_fails_is_told_in_a_frame(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("cannot be rendered")

    monkeypatch.setattr(RunFrames, "of", fail)
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        error = await socket.ask("start-workflow", workflow_id="seq", message="hello", session_id="s1", run_id="r1")
        assert error == {"event": "error", "error": "Internal server error"}
        assert await socket.ask("ping") == {"event": "pong"}
        run = await client.ended(Receipt("r1", "s1", ""), "workflows/seq")
        assert run["status"] == "COMPLETED"


async def _replayed(socket: Socket, run_id: str, **fields: Any) -> list[dict[str, Any]]:
    await socket.send("reconnect", run_id=run_id, workflow_id="seq", **fields)
    return await socket.events("WorkflowCompleted")


async def test_a_run_goes_on_without_its_connection(serve_live: Serve) -> None:
    async with served(serve_live, disconnect_seconds=0) as client:
        hold = client.model.hold("UP(")
        async with socket_on(client) as socket:
            await socket.receive()
            await socket.send("start-workflow", workflow_id="seq", message="hello", session_id="s1")
            started = await socket.receive()
            await hold.reached.wait()
        async with socket_on(client) as socket:
            await socket.receive()
            await socket.send("reconnect", run_id=started["run_id"], last_event_index=0)
            missed = await socket.events("subscribed")
            assert missed[0]["event"] == "catch_up"
            assert missed[0]["missed_events"] == len(missed) - 2
            hold.release()
            assert (await socket.events("WorkflowCompleted"))[-1]["content"] == "Echo: UP(Echo: hello)"


async def test_two_runs_on_one_connection(serve_live: Serve) -> None:
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        for session in ("s1", "s2"):
            await socket.send("start-workflow", workflow_id="early", message="hello", session_id=session)
        events = await socket.events("WorkflowCompleted") + await socket.events("WorkflowCompleted")
        assert {event["session_id"] for event in events} == {"s1", "s2"}


async def test_a_key_is_needed_where_other_operations_need_it(serve_live: Serve) -> None:
    async with served(serve_live, security_key=KEY) as client:
        async with socket_on(client) as socket:
            assert (await socket.receive())["requires_auth"] is True
            for action in ("start-workflow", "reconnect", "nope"):
                refused = await socket.ask(action, workflow_id="seq", message="hello", run_id="r")
                assert refused["event"] == "auth_required"
            assert (await socket.ask("authenticate", token="wrong"))["event"] == "auth_error"
            assert (await socket.ask("authenticate", token="ключ"))["event"] == "auth_error"
            assert (await socket.ask("ping"))["event"] == "pong"
            assert (await socket.ask("authenticate", token=KEY))["event"] == "authenticated"
            await socket.send("start-workflow", workflow_id="early", message="hello")
            assert (await socket.events("WorkflowCompleted"))[-1]["content"] == "stopped early"
        async with socket_on(client, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
            assert (await socket.receive())["requires_auth"] is False
        with pytest.raises(InvalidStatus) as refusal:
            async with socket_on(client, additional_headers={"Authorization": "Bearer wrong"}):
                pass
        assert refusal.value.response.status_code == 401


async def test_scopes_and_users(serve_live: Serve) -> None:
    issuer = Issuer()
    async with served(serve_live, jwt_verification_key=public_pem(rsa_key())) as client:
        async with socket_on(client) as socket:
            await socket.receive()
            answer = await socket.ask("authenticate", token=issuer.token("ada", "workflows:early:run"))
            assert answer["user_id"] == "ada"
            assert (await socket.ask("start-workflow", workflow_id="seq", message="x"))["event"] == "error"
            await socket.send("start-workflow", workflow_id="early", message="hello", user_id="eve", session_id="s1")
            run_id = (await socket.events("WorkflowCompleted"))[0]["run_id"]
        view = await client.http.get(
            f"/workflows/early/runs/{run_id}",
            params={"session_id": "s1"},
            headers=issuer.bearer("ada", "workflows:early:run"),
        )
        assert view.json()["user_id"] == "ada"
        for scopes in (("workflows:seq:run",), ("workflows:run",)):  # not this workflow; another user
            async with socket_on(client) as socket:
                await socket.receive()
                await socket.ask("authenticate", token=issuer.token("eve", *scopes))
                assert (await socket.ask("reconnect", run_id=run_id))["error"] == f"Run {run_id} not found"


async def test_a_token_that_expires_ends_the_events(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(serve_live, jwt_verification_key=public_pem(rsa_key()), jwt_leeway_seconds=0) as client:
        hold = client.model.hold("UP(")
        async with socket_on(client) as socket:
            await socket.receive()
            token = Issuer().token("ada", "workflows:run", lives=SHORT_SECONDS)
            shortly_before_the_end(monkeypatch)
            assert (await socket.ask("authenticate", token=token))["event"] == "authenticated"
            await socket.send("start-workflow", workflow_id="seq", message="hello", session_id="s1")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.events("WorkflowCompleted")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        hold.release()


async def closes_as_unauthenticated(socket: Socket) -> None:
    """The server closes the socket, and says nothing before."""
    with pytest.raises(ConnectionClosed) as closed:
        raise AssertionError(await socket.receive())
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


@contextlib.asynccontextmanager
async def signed_in_as_account(client: ServerClient) -> AsyncIterator[tuple[Socket, str]]:
    """A socket that is signed in with the token of a new service account, and the account's id."""
    new = {"name": "ci", "scopes": [{"scope": "workflows:run"}]}
    created = (await client.http.post("/service-accounts", json=new, headers=BY_KEY)).json()
    async with socket_on(client) as socket:
        await socket.receive()
        assert (await socket.ask("authenticate", token=created["token"]))["event"] == "authenticated"
        await client.server.service(AccountService).tokens.use_written()
        yield socket, created["id"]


async def test_a_revocation_closes_an_idle_socket_and_no_run_starts_on_it(serve_live: Serve) -> None:
    async with served(serve_live, security_key=KEY) as client, signed_in_as_account(client) as (socket, account_id):
        assert (await client.http.delete(f"/service-accounts/{account_id}", headers=BY_KEY)).status_code == 204
        with contextlib.suppress(ConnectionClosed):  # the close may have arrived already
            await socket.send("start-workflow", workflow_id="early", message="hello", session_id="s1")
        await closes_as_unauthenticated(socket)
        assert (await client.http.get("/runs", headers=BY_KEY)).json()["data"] == []


async def test_a_revocation_by_another_process_closes_an_idle_socket(
    serve_live: Serve, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "CHECK_SECONDS", 0.05)
    async with served(serve_live, security_key=KEY) as client, signed_in_as_account(client) as (socket, _):
        with contextlib.closing(sqlite3.connect(database, timeout=120)) as other, other:
            other.execute("UPDATE service_accounts SET revoked_at = 1")
        await closes_as_unauthenticated(socket)


async def test_the_expiry_of_a_token_closes_an_idle_socket_unless_it_has_a_new_one(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_leeway_seconds": 0}
    async with served(serve_live, **keys) as client, socket_on(client) as idle, socket_on(client) as renewed:
        token = Issuer().token("ada", "workflows:run", lives=SHORT_SECONDS)
        shortly_before_the_end(monkeypatch)
        for socket in (renewed, idle):
            await socket.receive()
            assert (await socket.ask("authenticate", token=token))["event"] == "authenticated"
        await renewed.ask("authenticate", token=Issuer().token("ada", "workflows:run"))
        await closes_as_unauthenticated(idle)
        assert await renewed.ask("ping") == {"event": "pong"}


@contextlib.asynccontextmanager
async def reading_shortly(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[tuple[ServerClient, Socket, Socket]]:
    """Two sockets with ada's token, which ends soon; the first one reads a run that is held."""
    keys: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_leeway_seconds": 0, **settings}
    async with served(serve_live, **keys) as client, socket_on(client) as reader, socket_on(client) as idle:
        hold = client.model.hold("UP(")
        token = Issuer().token("ada", "workflows:run", lives=SHORT_SECONDS)
        shortly_before_the_end(monkeypatch)
        for socket in (reader, idle):
            await socket.receive()
            assert (await socket.ask("authenticate", token=token))["event"] == "authenticated"
        await reader.send("start-workflow", workflow_id="seq", message="hello", session_id="s1")
        await hold.reached.wait()
        yield client, reader, idle
        hold.release()


async def test_a_run_is_read_on_with_a_new_token_of_the_same_user(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading_shortly(serve_live, monkeypatch) as (client, reader, idle):
        await reader.send("authenticate", token=Issuer().token("ada", "workflows:run"))
        await reader.events("authenticated")
        await closes_as_unauthenticated(idle)
        await client.http.get("/-/live")
        await reader.send("ping")
        await reader.events("pong")
        client.model.release()
        assert (await reader.events("WorkflowCompleted"))[-1]["content"] == "Echo: UP(Echo: hello)"


async def test_another_user_on_a_socket_reads_nothing_of_the_first_one(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading_shortly(serve_live, monkeypatch) as (client, reader, idle):
        await reader.send("authenticate", token=Issuer().token("bob", "workflows:run"))
        run_id = (await reader.events("authenticated"))[0]["run_id"]
        await closes_as_unauthenticated(idle)
        client.model.release()
        headers = Issuer().bearer("ada", "workflows:run")
        path = f"/workflows/seq/runs/{run_id}"
        answer = await client.http.get(path, params={"session_id": "s1", "wait": 60}, headers=headers)
        assert answer.json()["status"] == "COMPLETED"
        assert await reader.ask("ping") == {"event": "pong"}


async def test_foreign_pages_cannot_connect(serve_live: Serve) -> None:
    async with served(serve_live, cors_origins=["https://page.example"]) as client:
        with pytest.raises(InvalidStatus) as refusal:
            async with socket_on(client, origin="https://evil.example"):
                pass
        assert refusal.value.response.status_code == 403
        assert json.loads(refusal.value.response.body)["error_code"] == "FORBIDDEN"
        for origin in ("https://page.example", str(client.http.base_url).rstrip("/")):
            async with socket_on(client, origin=origin) as socket:
                assert await socket.receive() == CONNECTED


async def test_a_socket_stays_open_for_longer_than_a_head_may_take(serve_live: Serve) -> None:
    async with served(serve_live, header_seconds=0.2, security_key=KEY) as client, socket_on(client) as socket:
        await socket.receive()
        assert (await socket.ask("authenticate", token=KEY))["event"] == "authenticated"
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + 0.6
        while loop.time() < ends_at:
            assert await socket.ask("ping") == {"event": "pong"}


async def closed_with(socket: Socket) -> str:
    """Why the server has closed the socket with 1008."""
    with pytest.raises(ConnectionClosed) as closed:
        await socket.receive_all()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    return closed.value.rcvd.reason


async def test_a_client_that_does_not_sign_in_is_closed(serve_live: Serve) -> None:
    async with served(serve_live, header_seconds=0.2, security_key=KEY) as client, socket_on(client) as socket:
        await socket.receive()
        assert await closed_with(socket) == "The client did not sign in in time."


@pytest.mark.parametrize("texts", [["{}"] * 20, ["x" * 20_000]])
async def test_a_client_that_is_not_signed_in_may_not_send_much(serve_live: Serve, texts: list[str]) -> None:
    async with served(serve_live, security_key=KEY) as client, socket_on(client) as socket:
        await socket.receive()
        for text in texts:
            await socket.connection.send(text)
        assert await closed_with(socket) == "Authenticate first: send a token"


async def flood(socket: Socket) -> None:
    """Send pings until the server closes the socket.

    :raises ConnectionClosed: it has.
    """
    for _ in range(1000):
        _ = await socket.connection.ping()
    await socket.receive_all()


async def test_a_flood_of_pings_is_closed(serve_live: Serve) -> None:
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        with pytest.raises(ConnectionClosed):
            await flood(socket)


async def test_a_handshake_that_cannot_be_read_is_answered(serve_live: Serve) -> None:
    async with served(serve_live) as client:
        with pytest.raises(InvalidStatus) as refusal:
            async with socket_on(client, additional_headers={"x-long": "a" * 9000}):
                pass
        assert refusal.value.response.status_code == 400
        async with socket_on(client, additional_headers={"x-long": "a" * 8000, "x-longer": "a" * 8000}) as socket:
            assert await socket.receive() == CONNECTED


async def test_a_long_message_is_answered(serve_live: Serve) -> None:
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        answer = await socket.ask("start-workflow", workflow_id="nope", message="x" * 200_000)
        assert answer["error"] == "Workflow nope not found"
        for _ in range(50):
            await socket.send("ping")
        assert [await socket.receive() for _ in range(50)] == [{"event": "pong"}] * 50


async def test_sockets_without_a_caller_make_room_for_others(serve_live: Serve) -> None:
    async with (
        served(serve_live, connections=3, header_seconds=60, security_key=KEY) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(socket_on(client)) for _ in range(3)]
        async with socket_on(client, additional_headers=BY_KEY) as signed_in:
            assert (await signed_in.receive())["event"] == "connected"
            with pytest.raises(ConnectionClosed):
                await silent[0].receive_all()
            for _ in range(3):
                await stack.enter_async_context(socket_on(client))
            assert await signed_in.ask("ping") == {"event": "pong"}


async def test_other_paths_are_no_sockets(serve_live: Serve) -> None:
    async with served(serve_live) as client:
        address = str(client.http.base_url).replace("http", "ws", 1).rstrip("/") + "/workflows"
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(address, proxy=None, open_timeout=60):
                pass
        assert refusal.value.response.status_code == 200  # the list, without the offer to upgrade


async def test_a_message_that_is_too_long_closes_the_connection(serve_live: Serve) -> None:
    async with served(serve_live, field_bytes=1000) as client, socket_on(client) as socket:
        await socket.receive()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.ask("ping", padding="x" * 2000)
        assert closed.value.sent is not None or closed.value.rcvd is not None


async def test_sockets_count_as_connections_and_as_requests(serve_live: Serve) -> None:
    async with served(serve_live, connections_per_address=2) as client:
        async with socket_on(client) as one, socket_on(client) as two:
            assert await one.receive() == await two.receive() == CONNECTED
            with pytest.raises(InvalidStatus) as refusal:
                async with socket_on(client):
                    pass
            assert refusal.value.response.status_code == 429
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(InvalidStatus):
                    async with socket_on(client) as three:
                        assert await three.receive() == CONNECTED
                        break


async def test_a_client_that_does_not_read_is_dropped_and_may_come_back(serve_live: Serve) -> None:
    slow: dict[str, Any] = {"stream_buffer_bytes": 20_000, "delta_seconds": 0.001, "write_seconds": 3}
    message = f'[[TOOL get_weather {{"city": "{"x" * 300_000} today"}}]]'
    async with served(serve_live, **slow) as client:
        url = client.http.base_url
        assert url.port
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((url.host, url.port))
            connection.setblocking(False)
            async with socket_on(client, sock=connection, max_queue=1, close_timeout=1) as sleeper:
                await sleeper.receive()
                await sleeper.send("start-workflow", workflow_id="seq", message=message, run_id="r1", session_id="s1")
                await sleeper.receive()
                await until_disconnected(client, "r1")
                done = await client.get("/workflows/seq/runs/r1", session_id="s1", wait=60)
                assert done["status"] == "COMPLETED"
                with pytest.raises(ConnectionClosed):
                    await sleeper.receive_all()
        async with socket_on(client, max_size=None) as reader:
            await reader.receive()
            await reader.send("reconnect", run_id="r1")
            assert (await reader.events("WorkflowCompleted"))[-1]["content"] == done["content"]


async def test_a_stop_closes_the_connection(serve_live: Serve) -> None:
    async with contextlib.AsyncExitStack() as stack:
        serving = await stack.enter_async_context(contextlib.AsyncExitStack())
        client = await serving.enter_async_context(served(serve_live))
        socket = await stack.enter_async_context(socket_on(client))
        await socket.receive()
        await serving.aclose()
        with pytest.raises(ConnectionClosed):
            await socket.receive()


async def test_each_message_counts_as_a_request(serve_live: Serve) -> None:
    too_many = {"event": "error", "error": "Too many requests; try again later."}
    async with served(serve_live, rate_per_minute=1, rate_burst=3) as client, socket_on(client) as socket:
        await socket.receive()
        assert await socket.ask("ping") == {"event": "pong"}
        await socket.connection.send("not json")
        assert await socket.receive() == {"event": "error", "error": "A message is a JSON object."}
        for action in ("ping", "nope", "start-workflow"):
            assert await socket.ask(action) == too_many


async def test_messages_before_the_token_count_for_the_address(serve_live: Serve) -> None:
    limits = {"rate_per_minute": 1, "rate_burst": 2}
    async with served(serve_live, security_key=KEY, **limits) as client, socket_on(client) as socket:
        await socket.receive()
        answers = [(await socket.ask("ping"))["event"] for _ in range(3)]
        assert answers == ["pong", "pong", "error"]
        assert (await socket.ask("authenticate", token=KEY))["event"] == "authenticated"
        assert (await socket.ask("ping"))["event"] == "pong"


async def test_a_client_comes_back_after_a_restart(serve_live: Serve) -> None:
    async with served(serve_live) as client:
        hold = client.model.hold("UP(")
        async with socket_on(client) as socket:
            await socket.receive()
            await socket.send("start-workflow", workflow_id="seq", message="hello", session_id="s1")
            before = [await socket.receive()]
            await hold.reached.wait()
    async with served(serve_live) as client, socket_on(client) as socket:
        await socket.receive()
        await socket.send("reconnect", run_id=before[0]["run_id"], last_event_index=before[0]["event_index"])
        events = [event for event in await socket.events("WorkflowCompleted") if "event_index" in event]
        assert [event["event_index"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["content"] == "Echo: UP(Echo: hello)"
