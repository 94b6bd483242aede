"""Clients that disconnect, over real connections."""

import asyncio
import gc
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from musterd.core.errors import StoreUnavailable
from musterd.http.event_frames import RunFrames
from musterd.store import disconnect
from tests.support.app import Serve
from tests.support.http import Receipt, ServerClient, read_stream

GRACE = {"disconnect_seconds": 0.05}
NEVER = {"disconnect_seconds": 3600}


def receipt(run_id: str, session_id: str) -> Receipt:
    return Receipt(run_id, session_id, "")


async def test_a_stream_that_everybody_left_is_cancelled(serve_live: Serve) -> None:
    async with serve_live(**GRACE) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
        await client.model.hold_of("wait").stopped.wait()
        body = await client.ended(receipt("r1", "s1"))
        assert (body["status"], body["content"]) == ("CANCELLED", "Echo: ")
        assert body["cancel"]["by"] == "disconnect"


async def test_a_stream_whose_client_has_sent_another_request_and_left(serve_live: Serve) -> None:
    async with serve_live(**GRACE) as client:
        hold = client.model.hold("wait", after=1)
        url, body = client.http.base_url, urlencode({"message": "wait", "run_id": "r1", "session_id": "s1"})
        _, connection = await asyncio.open_connection(url.host, url.port)
        head = f"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}"
        next_request = "GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.write(f"POST /teams/demo-team/runs HTTP/1.1\r\n{head}\r\n\r\n{body}{next_request}".encode())
        await hold.reached.wait()
        connection.close()
        await hold.stopped.wait()
        assert (await client.ended(receipt("r1", "s1")))["cancel"]["by"] == "disconnect"


async def test_a_stream_that_everybody_left_in_an_outage_is_cancelled_after_it(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live(**GRACE) as client:
        hold = client.model.hold("wait", after=1)
        write, refused = client.server.database.write, list[Any]()

        def refuse_once(work: Any) -> Any:
            if getattr(work, "func", None) is disconnect.cancel_abandoned and not refused:
                refused.append(work)
                raise StoreUnavailable
            return write(work)

        monkeypatch.setattr(client.server.database, "write", refuse_once)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
        await hold.stopped.wait()
        assert (await client.ended(receipt("r1", "s1")))["status"] == "CANCELLED"
        assert len(refused) == 1


async def test_a_refusal_after_the_client_has_gone_is_no_error(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio reports an error that nobody has taken when its task is collected."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    await client.run(run_id="r1", session_id="s1")
    database, reached, go_on = client.server.database, asyncio.Event(), asyncio.Event()
    write = database.write

    async def held(work: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await write(work)

    monkeypatch.setattr(database, "write", held)
    asking = asyncio.ensure_future(client.post("another message", run_id="r1", session_id="s1"))
    await reached.wait()
    (accepting,) = [task for task in asyncio.all_tasks() if "RunService._accept" in repr(task)]
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await asyncio.wait([accepting])
    del accepting
    gc.collect()
    assert reports == []


async def test_a_stream_is_not_cancelled_at_once(serve_live: Serve) -> None:
    async with serve_live(**NEVER) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
        await _gone(client, "r1")
        client.model.release()
        assert (await client.ended(receipt("r1", "s1")))["status"] == "COMPLETED"


async def test_one_of_two_readers_may_leave(serve_live: Serve) -> None:
    async with serve_live(**GRACE) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as stays:
            await stays.until("TeamRunContent")
            async with client.reading("wait", run_id="r1", session_id="s1") as leaves:
                await leaves.until("TeamRunContent")
            assert await _goes_on(client, 0.2)
            client.model.release()
            await stays.rest()
        assert stays.events[-1]["event"] == "TeamRunCompleted"


async def test_a_reader_that_comes_back_in_time(serve_live: Serve) -> None:
    async with serve_live(disconnect_seconds=30) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
        await _gone(client, "r1")
        async with client.reading("wait", run_id="r1", session_id="s1") as again:
            await again.until("TeamRunContent")
            client.model.release()
            await again.rest()
        assert again.events[-1]["event"] == "TeamRunCompleted"


async def test_a_waiting_poll_keeps_it_alive(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_live(disconnect_seconds=0.3) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
            entered = asyncio.Event()
            enter = client.server.runs.connected_clients.enter

            def enter_and_tell(run_id: str) -> None:
                enter(run_id)
                entered.set()

            monkeypatch.setattr(client.server.runs.connected_clients, "enter", enter_and_tell)
            polling = asyncio.ensure_future(client.ended(receipt("r1", "s1")))
            await entered.wait()
        assert await _goes_on(client, 0.5)
        client.model.release()
        assert (await polling)["status"] == "COMPLETED"


@pytest.mark.parametrize("form", [{"stream": "false"}, {"stream": "true", "background": "true"}])
async def test_a_run_that_nobody_streams_for_himself_goes_on(serve_live: Serve, form: dict[str, str]) -> None:
    async with serve_live(**GRACE) as client:
        hold = client.model.hold("wait", after=1)
        fields = {"message": "wait", "run_id": "r1", "session_id": "s1", **form}
        posting = asyncio.ensure_future(client.http.post("/teams/demo-team/runs", data=fields))
        await hold.reached.wait()
        posting.cancel()
        await asyncio.wait([posting])
        assert await _goes_on(client, 0.2)
        hold.release()
        assert (await client.ended(receipt("r1", "s1")))["status"] == "COMPLETED"


async def test_a_stream_that_has_ended_is_not_cancelled(serve_live: Serve) -> None:
    async with serve_live(**GRACE) as client:
        async with client.reading("hello", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunCompleted")
        assert (await client.ended(receipt("r1", "s1")))["status"] == "COMPLETED"


async def test_a_stopping_server_ends_streams_without_an_end(serve_live: Serve) -> None:
    async with serve_live(**GRACE) as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
            client.server.begin_stop()
            await reader.rest()
        assert reader.events[-1]["event"] == "TeamRunContent"
        assert not client.model.hold_of("wait").stopped.is_set()


async def test_a_stream_that_fails_in_the_server_does_not_cancel_its_run(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("cannot be rendered")

    monkeypatch.setattr(RunFrames, "of", fail)
    async with serve_live(**GRACE) as client:
        hold = client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            with pytest.raises(httpx2.RemoteProtocolError):  # there is no end, so the client reads on or polls
                await reader.rest()
        await hold.reached.wait()
        assert await _goes_on(client, 0.2)
        hold.release()
        assert (await client.ended(receipt("r1", "s1")))["status"] == "COMPLETED"


@pytest.mark.parametrize("others_write", [False, True])
async def test_an_idle_stream_is_kept_open(serve_live: Serve, others_write: bool) -> None:
    """Also where it is sent to the store more often, for what others write there."""
    async with serve_live(ping_seconds=0.02) as client:
        client.model.hold("wait")

        def look_up() -> None:
            client.server.broadcaster.make_subscribers_read_store("r1")
            asyncio.get_running_loop().call_later(0.001, look_up)

        if others_write:
            look_up()
        fields = {"message": "wait", "run_id": "r1"}
        text = ""
        async with client.http.stream("POST", "/teams/demo-team/runs", data=fields) as answer:
            texts = answer.aiter_text()
            while text.count(": ping\n\n") < 3:
                text += await anext(texts)
            client.model.release()
            async for more in texts:
                text += more
        assert read_stream(text)[-1]["event"] == "TeamRunCompleted"


async def _goes_on(client: ServerClient, seconds: float) -> bool:
    """Whether the model call is not stopped for so long: only the grace's own clock can tell that nothing happens."""
    try:
        await asyncio.wait_for(client.model.hold_of("wait").stopped.wait(), seconds)
    except TimeoutError:
        return True
    return False


async def _gone(client: ServerClient, run_id: str) -> None:
    """Until the server has seen that nobody reads the run any more."""
    while client.server.broadcaster.has_subscribers(run_id):
        await client.get("/-/live")
