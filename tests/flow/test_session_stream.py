"""Following a session: its runs at work, those that begin, and coming back with the cursor."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from musterd.service import session_subscription
from tests.flow.test_interrupted_streams import Desk
from tests.flow.test_resume import paged
from tests.flow.test_scheduling import upkeep
from tests.support.app import Serve, app_on, on_loopback
from tests.support.http import Framed, Reader, ServerClient, problem, read_frames, wrong_fields

FOLLOW = "/sessions/s1/events"
PATIENCE_SECONDS = 120


def following(client: ServerClient, last_id: str | None = None, **query: str) -> Any:
    """A stream of the session s1."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    return client.opened("GET", FOLLOW, params=query, headers=headers)


def of_run(reader: Reader, run_id: str) -> list[dict[str, Any]]:
    """What was told of one run without members."""
    return [event for event in reader.events if event["run_id"] == run_id]


async def story(client: ServerClient, run_id: str) -> list[Any]:
    return await paged(client, run=f"/teams/demo-team/runs/{run_id}")


async def held_run(client: ServerClient, run_id: str = "r1", **fields: str) -> None:
    """A run that has said something, and waits."""
    hold = client.model.hold("wait", after=1)
    await client.begin("wait", session_id="s1", run_id=run_id, **fields)
    await hold.reached.wait()


async def test_runs_at_work_come_from_their_start_and_later_ones_as_they_begin(serve_live: Serve) -> None:
    async with serve_live() as client:
        await client.run("over", session_id="s1", run_id="r0")
        await held_run(client)
        await client.run("another", session_id="s2", run_id="other")
        async with following(client) as reader:
            await reader.until("TeamRunContent")
            client.model.release()
            await reader.until("TeamRunCompleted")
            await client.begin("hello", session_id="s1", run_id="r2")
            await reader.until("TeamRunCompleted")
            await client.begin("[[DELEGATE writer-agent: x]]", session_id="s1", run_id="r3")
            await reader.until("TeamRunCompleted")
        assert {event["session_id"] for event in reader.events} == {"s1"}
        assert of_run(reader, "r0") == []
        for run_id in ("r1", "r2"):
            assert of_run(reader, run_id) == await story(client, run_id)
        assert reader.events[-len(await story(client, "r3")) :] == await story(client, "r3")
        assert not client.server.broadcaster._watches
        assert not client.server.broadcaster._audiences


async def test_a_session_where_nothing_is_at_work_is_waited_for(serve_live: Serve) -> None:
    async with serve_live(ping_seconds=0.02) as client:
        await client.run("over", session_id="s1")
        async with client.http.stream("GET", FOLLOW) as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            text, texts = "", answer.aiter_text()
            while text.count(": ping\n\n") < 2:
                text += await anext(texts)
            await client.begin("hello", session_id="s1", run_id="r1")
            while "event: TeamRunCompleted\n" not in text:
                text += await anext(texts)
        assert [event for event, _ in read_frames(text)] == await story(client, "r1")


async def test_every_cut_is_gone_on_with_on_another_process(serve_live: Serve, serve: Serve) -> None:
    """Two runs beside each other and one behind: whatever was read last, nothing is lost or told twice."""
    async with serve_live(delta_seconds=0.001) as client:
        await held_run(client)
        hold = client.model.hold("[[DELEGATE", after=0)
        await client.begin("[[DELEGATE writer-agent: x]]", session_id="s1", run_id="r2", on_busy="parallel")
        await hold.reached.wait()
        async with following(client) as reader:
            await reader.until("TeamModelRequestStarted")
            hold.release()
            await reader.until("TeamRunCompleted")
            await client.begin("hello", session_id="s1", run_id="r3")
            client.model.release()
            await reader.until("TeamRunCompleted")
            await reader.until("TeamRunCompleted")
        frames = reader.frames
        stories = {run_id: await story(client, run_id) for run_id in ("r1", "r2", "r3")}
        total = sum(map(len, stories.values()))
        assert len(frames) == total
    async with serve_live() as client:
        for cut, frame in enumerate(frames):
            assert frame.id is not None
            async with following(client, frame.id) as again:
                rest = await again.some(total - cut - 1) if cut < total - 1 else []
            assert sorted_by_run([*frames[: cut + 1], *again.frames]) == sorted_by_run(frames), cut
            assert len(rest) == total - cut - 1


def sorted_by_run(frames: list[Framed]) -> list[dict[str, Any]]:
    return sorted((event for event, _ in frames), key=lambda event: (root_of(event), event["event_index"]))


def root_of(event: dict[str, Any]) -> str:
    return str(event.get("parent_run_id") or event["run_id"])


async def test_the_cursor_holds_only_what_has_not_ended(serve_live: Serve) -> None:
    async with serve_live() as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.run("over", session_id="s1")
            async with following(client) as reader:
                for number in range(5):
                    await client.begin("hello", session_id="s1", run_id=f"r{number}")
                    await reader.until("TeamRunCompleted")
        seq, runs, _ = json.loads(base64.urlsafe_b64decode(f"{reader.frames[-1].id}===="))
        assert (seq, list(runs)) == (5, ["r4"])


async def test_the_cursor_does_not_grow_with_the_runs_that_were_read_to_their_end(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_subscription, "PAGE_RUNS", 2)
    run_ids = [f"r{number}" for number in range(7)]
    async with serve_live() as client:
        async with asyncio.timeout(30):
            await client.http.post("/sessions", json={"session_id": "s1"})
            async with following(client) as reader:
                for run_id in run_ids:
                    await client.begin("hello", session_id="s1", run_id=run_id)
                    await reader.until("TeamRunCompleted")
            cursor = json.loads(base64.urlsafe_b64decode(f"{reader.frames[0].id}===="))
            first = base64.urlsafe_b64encode(json.dumps([-1, {}, cursor[2]]).encode()).decode().rstrip("=")
            async with following(client, first) as again:
                for _ in run_ids:
                    await again.until("TeamRunCompleted")
        assert sorted_by_run(again.frames) == sorted_by_run(reader.frames)
        cursors = [json.loads(base64.urlsafe_b64decode(f"{frame.id}====")) for frame in again.frames]
        assert max(len(runs) for _, runs, _ in cursors) <= 2


async def test_the_cursor_does_not_grow_with_the_runs_that_wait(serve_live: Serve) -> None:
    waiting = [f"r{number}" for number in range(20)]
    async with serve_live() as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await held_run(client, "first")
            for run_id in waiting:
                await client.begin("hello", session_id="s1", run_id=run_id)
            async with following(client) as reader:
                await reader.until("TeamRunContent")
            assert len(reader.frames[-1].id) < 100
            client.model.release()
            async with following(client, reader.frames[-1].id) as again:
                for _ in ("first", *waiting):
                    await again.until("TeamRunCompleted")
            whole = [event for run_id in waiting for event in await story(client, run_id)]
            events = [event for event in again.events if event["run_id"] != "first"]
    assert sorted(events, key=lambda event: waiting.index(event["run_id"])) == whole, "each run's in their order"


async def test_a_paused_run_is_followed_until_its_end(database: Path) -> None:
    """Also where a reader comes back between."""
    async with on_loopback(app_on(database, served=Desk(database).sample())) as client:
        paused = await client.stream('[[TOOL pay {"n": 1}]]', session_id="s1", run_id="r1")
        async with following(client) as reader:
            await reader.until("TeamRunPaused")
        async with following(client, reader.frames[-1].id) as again:
            requirements = [{**one, "confirmation": True} for one in paused.events[-1]["requirements"]]
            data = {"session_id": "s1", "requirements": json.dumps(requirements), "background": "true"}
            assert (await client.http.post("/teams/demo-team/runs/r1/continue", data=data)).status_code == 202
            await again.until("TeamRunCompleted")
        assert reader.events + again.events == await story(client, "r1")


async def test_a_run_that_a_late_message_begins_is_followed(serve_live: Serve) -> None:
    """No request starts it: it is there when the run has ended that the message came too late for."""
    async with serve_live() as client:
        await held_run(client)
        async with following(client) as reader:
            await reader.until("TeamRunContent")
            answer = await client.http.post("/teams/demo-team/runs/r1/messages", data={"message": "one more"})
            assert answer.status_code == 202
            client.model.release()
            await reader.until("TeamRunCompleted")
            end = await reader.until("TeamRunCompleted")
        assert (end["run_id"] != "r1", end["content"]) == (True, "Echo: one more")
        assert of_run(reader, end["run_id"]) == await story(client, end["run_id"])


async def test_fewer_events(serve_live: Serve) -> None:
    async with serve_live() as client:
        await held_run(client)
        async with following(client, stream_events="false") as reader:
            client.model.release()
            await reader.until("TeamRunCompleted")
        assert {event["event"] for event in reader.events} == {"TeamRunContent", "TeamRunCompleted"}


async def test_a_deleted_session_ends_the_stream(serve_live: Serve) -> None:
    async with serve_live() as client:
        await held_run(client)
        async with following(client) as reader:
            await reader.until("TeamRunContent")
            assert (await client.http.delete("/sessions/s1")).status_code == 204
            await reader.rest()
        problem(await client.http.get(FOLLOW), 404, "NOT_FOUND")
        problem(await client.http.get(FOLLOW, headers={"Last-Event-ID": reader.frames[-1].id or ""}), 404, "NOT_FOUND")


async def test_a_deleted_session_ends_the_streams_of_its_runs(serve_live: Serve) -> None:
    async with serve_live() as client:
        await held_run(client)
        url, query = "/teams/demo-team/runs/r1/resume", {"session_id": "s1"}
        async with client.opened("POST", url, data=query) as reader:
            await reader.until("subscribed")
            await client.http.delete("/sessions/s1")
            await reader.rest()
        assert reader.events[-1]["event"] == "TeamRunCancelled"
        problem(await client.http.post(url, data=query), 404, "NOT_FOUND")


async def test_a_stopping_server_ends_the_stream(serve_live: Serve) -> None:
    async with serve_live() as client:
        await held_run(client)
        async with following(client) as reader:
            await reader.until("TeamRunContent")
            client.server.begin_stop()
            await reader.rest()
        assert reader.events[-1]["event"] == "TeamRunContent"


async def test_who_follows_a_session_keeps_its_runs_company(serve_live: Serve) -> None:
    async with serve_live(disconnect_seconds=0.05) as client:
        hold = client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as first:
            await first.until("TeamRunContent")
            follower = following(client)
            reader = await follower.__aenter__()
            await reader.until("TeamRunContent")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hold.stopped.wait(), 0.2)
        await follower.__aexit__(None, None, None)
        await hold.stopped.wait()


async def test_an_unknown_session(client: ServerClient) -> None:
    answer = await client.http.get(FOLLOW)
    assert problem(answer, 404, "NOT_FOUND") == "Session with ID s1 not found"


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "{}",
        "a b",
        "ü",
        "%%%",
        *map(cursor_of, ({}, [1], [1, {}], [1, 2, 1.5], [-2, {}, 1.5], [0, {"r": "x"}, 1.5], [0, {"r": -2}, 1.5])),
        *map(cursor_of, ([True, {}, 1.5], [0, {}, "x"], [0, {}, None])),
        cursor_of([0, {"r\x00": 1}, 1.5]),
        base64.urlsafe_b64encode(b"[" * 20_000).decode(),
    ],
)
async def test_what_is_no_cursor(client: ServerClient, text: str) -> None:
    await client.run("hello", session_id="s1")
    assert wrong_fields(await client.http.get(FOLLOW, params={"after": text})) == [("query", "after")]
    answer = await client.http.get(FOLLOW, headers={b"Last-Event-ID": text.encode()})
    assert wrong_fields(answer) == [("header", "Last-Event-ID")]


async def test_a_cursor_of_another_session_shows_nothing_of_it(serve_live: Serve) -> None:
    async with serve_live() as client:
        await client.run("secret", session_id="s2", run_id="other")
        await held_run(client)
        async with following(client, cursor_of([7, {"other": -1, "nope": 5, "r1": 0}, 1.5])) as reader:
            client.model.release()
            await reader.until("TeamRunCompleted")
        assert reader.events == await story(client, "r1")


async def test_a_cursor_of_a_session_that_was_deleted_shows_all_of_the_one_made_anew(serve_live: Serve) -> None:
    async with serve_live() as client:
        await client.run("over", session_id="s1", run_id="r0")
        await held_run(client)
        async with following(client) as reader:
            await reader.until("TeamRunContent")
        client.model.release()
        await client.http.delete("/sessions/s1")
        while (await client.post("anew", session_id="s1", run_id="r1", stream="false")).status_code == 409:
            pass  # it is still being deleted
        for name in ("r2", "r3"):  # the new one has more runs than the old one had, one of them by the old name
            await client.run("anew", session_id="s1", run_id=name)
        async with following(client, reader.frames[-1].id) as again:
            for _ in range(3):
                await again.until("TeamRunCompleted")
        stories = [await story(client, name) for name in ("r1", "r2", "r3")]
        assert again.events == [event for one in stories for event in one]


async def test_a_delayed_run_that_was_read_to_its_end_is_not_told_again(serve_live: Serve) -> None:
    """It has moved to the end of its line meanwhile, behind the place up to which the reader knows all runs."""
    async with serve_live() as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.begin("hello", session_id="s1", run_id="late", delay_seconds="3600")
            async with following(client) as reader:
                await upkeep(client, 3600)  # not before: a run that has ended is not told
                await reader.until("TeamRunCompleted")
            async with following(client, reader.frames[-1].id) as again:
                await client.begin("hello", session_id="s1", run_id="next")
                await again.until("TeamRunCompleted")
        assert again.events == await story(client, "next")
