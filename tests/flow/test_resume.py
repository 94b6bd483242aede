"""Coming back to a run: by the peer's form, by pages, by streams with ``Last-Event-ID``; at work, paused, ended."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event
from musterd.engine.broadcaster import Stored
from musterd.http import sse
from musterd.service import subscription
from musterd.wire.sse import EventFrames
from tests.support.app import Serve
from tests.support.http import Reader, ServerClient, problem, read_stream, wrong_fields

SSE = {"Accept": "text/event-stream"}
RUN = "/teams/demo-team/runs/r1"
DELEGATE = "[[DELEGATE writer-agent: x || DELEGATE weather-agent: y]]"


async def resumed(
    client: ServerClient, after: int | None = None, run: str = RUN, **fields: Any
) -> list[dict[str, Any]]:
    """The peer's form."""
    data = {"session_id": "s1", **({} if after is None else {"last_event_index": str(after)}), **fields}
    answer = await client.http.post(f"{run}/resume", data=data)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return read_stream(answer.text)


async def paged(client: ServerClient, after: int = -1, limit: int = 1000, run: str = RUN, **query: Any) -> list[Any]:
    """The events on all pages."""
    events = []
    while True:
        query_string = {"session_id": "s1", "after": after, "limit": limit, **query}
        page = await client.get(f"{run}/events", **query_string)
        events += page["events"]
        assert len(page["events"]) == limit or not page["has_more"]
        assert not (page["is_final"] and page["has_more"])
        after = page["last_event_index"]
        if not page["has_more"]:
            return events


async def streamed(client: ServerClient, last_id: int | str, run: str = RUN, **query: Any) -> list[dict[str, Any]]:
    """A stream as browsers ask for it again."""
    headers = {**SSE, "Last-Event-ID": str(last_id)}
    answer = await client.http.get(f"{run}/events", params={"session_id": "s1", **query}, headers=headers)
    assert answer.status_code in (200, 204), answer.text
    return read_stream(answer.text)


# --- what has ended -----------------------------------------------------------------------------------


async def test_no_body_is_one_without_fields(client: ServerClient) -> None:
    await client.run(session_id="s1", run_id="r1")
    answer = await client.http.post(f"{RUN}/resume", headers={"content-type": "application/json"})
    assert read_stream(answer.text)[0]["event"] == "replay"


async def test_a_run_that_has_ended_is_replayed(client: ServerClient) -> None:
    whole = (await client.stream("hello", session_id="s1", run_id="r1")).events
    replay, *events = await resumed(client, 1)
    assert events == whole[2:]
    assert list(replay.items()) == [
        ("event", "replay"),
        ("run_id", "r1"),
        ("status", "COMPLETED"),
        ("total_events", len(whole) - 2),
        ("total_buffered", len(whole)),
        ("last_event_index_requested", 1),
        ("message", f"Run COMPLETED. Replaying {len(whole) - 2} missed events (of {len(whole)} total)."),
    ]
    replay, *events = await resumed(client)
    assert (events, replay["last_event_index_requested"], replay["total_events"]) == (whole, -1, len(whole))


async def test_a_form_of_either_kind_and_json_are_taken(client: ServerClient) -> None:
    whole = (await client.stream("hello", session_id="s1", run_id="r1")).events
    fields = {"last_event_index": "2", "session_id": "s1", "user_id": "u1"}
    for body in ({"data": fields}, {"files": {name: (None, text) for name, text in fields.items()}}, {"json": fields}):
        answer = await client.http.post(f"{RUN}/resume", **body)
        assert read_stream(answer.text)[1:] == whole[3:]
    assert (await client.http.post(f"{RUN}/resume")).status_code == 200, "the session need not be said"


async def test_events_are_the_same_bytes_on_a_page_and_in_a_stream(client: ServerClient) -> None:
    whole = await client.stream('[[SAY ü \u2028 \x85 { } "]]', session_id="s1", run_id="r1")
    lines = [line[6:] for line in whole.response.text.split("\n") if line.startswith("data: ")]
    page = await client.http.get(f"{RUN}/events", params={"session_id": "s1"})
    assert page.headers["content-type"] == "application/json"
    assert '"events":[' + ",".join(lines) + "]," in page.text
    body = page.json()
    assert list(body) == ["run_id", "session_id", "status", "events", "last_event_index", "has_more", "is_final"]
    assert (body["run_id"], body["session_id"], body["status"]) == ("r1", "s1", "COMPLETED")
    assert (body["last_event_index"], body["has_more"], body["is_final"]) == (len(lines) - 1, False, True)


async def test_pages_of_any_length(client: ServerClient) -> None:
    whole = (await client.stream(DELEGATE, session_id="s1", run_id="r1")).events
    for limit in (1, 2, 7, len(whole), 1000):
        assert await paged(client, limit=limit) == whole


async def test_every_cut_goes_on_where_it_was(client: ServerClient) -> None:
    """Of a run with members: by form, by Last-Event-ID and by page."""
    whole = (await client.stream(DELEGATE, session_id="s1", run_id="r1")).events
    for event in whole:
        index = event["event_index"]
        rest = whole[index + 1 :]
        assert (await resumed(client, index))[1:] == rest
        assert await streamed(client, index) == rest
        assert await paged(client, index, limit=3) == rest


async def test_the_header_wins_over_the_query(client: ServerClient) -> None:
    whole = (await client.stream("hello", session_id="s1", run_id="r1")).events
    assert await streamed(client, 3, after=0) == whole[4:]
    assert await streamed(client, "", after=3) == whole[4:]


async def test_a_browser_is_told_to_ask_no_more(client: ServerClient) -> None:
    whole = (await client.stream("hello", session_id="s1", run_id="r1")).events
    for last in (len(whole) - 1, 10**6):
        answer = await client.http.get(
            f"{RUN}/events", params={"session_id": "s1"}, headers={**SSE, "Last-Event-ID": str(last)}
        )
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await resumed(client, last))[0]["total_events"] == 0


async def test_a_browser_that_read_a_member_is_told_so_too(client: ServerClient) -> None:
    """Though its leader has said more since."""
    whole = (await client.stream(DELEGATE, session_id="s1", run_id="r1")).events
    for name in ("writer-agent", "weather-agent"):
        own = [event for event in whole if event.get("agent_id") == name]
        path = f"/teams/demo-team/runs/{own[0]['run_id']}/events"
        for cut, status in ((own[-2], 200), (own[-1], 204)):
            headers = {**SSE, "Last-Event-ID": str(cut["event_index"])}
            answer = await client.http.get(path, params={"session_id": "s1"}, headers=headers)
            assert answer.status_code == status


# --- members ------------------------------------------------------------------------------------------


async def test_a_members_run_id_gives_its_events(client: ServerClient) -> None:
    whole = (await client.stream(DELEGATE, session_id="s1", run_id="r1")).events
    writer = next(event["run_id"] for event in whole if event.get("agent_id") == "writer-agent")
    own = [event for event in whole if event["run_id"] == writer]
    run = f"/teams/demo-team/runs/{writer}"
    assert (own[0]["event"], own[-1]["event"]) == ("RunStarted", "RunCompleted")
    assert await paged(client, limit=2, run=run) == own
    for cut in (own[0], own[2], own[-1]):
        rest = own[own.index(cut) + 1 :]
        assert await streamed(client, cut["event_index"], run=run) == rest
        replay, *events = await resumed(client, cut["event_index"], run=run)
        assert (events, replay["total_events"], replay["run_id"]) == (rest, len(rest), writer)


async def test_a_members_events_hold_those_of_its_own_members(client: ServerClient) -> None:
    fields = {"to": "teams/outer-team", "session_id": "s1", "run_id": "r1"}
    whole = (await client.stream("[[DELEGATE inner-team: do <DELEGATE n-writer-agent: x>]]", **fields)).events
    inner = next(event for event in whole if event.get("team_id") == "inner-team")
    below = [event for event in whole if event.get("team_id") != "outer-team"]
    assert {event["nested_depth"] for event in below} == {1, 2}
    run = f"/teams/outer-team/runs/{inner['run_id']}"
    assert await paged(client, run=run) == await streamed(client, -1, run=run) == below
    middle = below[len(below) // 2]["event_index"]
    assert await streamed(client, middle, run=run) == [event for event in below if event["event_index"] > middle]


# --- at work ------------------------------------------------------------------------------------------


async def test_a_run_at_work_is_caught_up_with(serve_live: Serve) -> None:
    async with serve_live() as client:
        hold = client.model.hold("wait", after=1)
        async with client.reading("wait for it", run_id="r1", session_id="s1", background="true") as first:
            await first.until("TeamRunContent")
        data = {"last_event_index": "0", "session_id": "s1"}
        async with client.opened("POST", f"{RUN}/resume", data=data) as again:
            subscribed = await again.until("subscribed")
            hold.release()
            await again.rest()
    catch_up, *events = again.events
    assert catch_up == {
        "event": "catch_up",
        "run_id": "r1",
        "status": "running",
        "missed_events": 2,
        "current_event_count": 3,
        "message": "Catching up on 2 missed events.",
    }
    assert events.index(subscribed) == 2
    assert (subscribed["status"], subscribed["current_event_count"]) == ("running", 3)
    events.remove(subscribed)
    assert [event["event_index"] for event in events] == list(range(1, len(events) + 1))
    assert events[:2] == first.events[1:]
    assert events[-1]["event"] == "TeamRunCompleted"


async def test_a_run_that_waits_its_turn_can_be_read_before_it_begins(serve_live: Serve) -> None:
    async with serve_live() as client:
        hold = client.model.hold("wait")
        await client.begin("wait", session_id="s1", run_id="r0")
        await hold.reached.wait()
        await client.begin("hello", session_id="s1", run_id="r1")
        page = await client.get(f"{RUN}/events", session_id="s1")
        assert (page["events"], page["last_event_index"], page["is_final"]) == ([], -1, False)
        async with client.opened("POST", f"{RUN}/resume", data={"session_id": "s1"}) as reader:
            assert (await reader.until("catch_up"))["status"] == "pending"
            await reader.until("subscribed")
            hold.release()
            await reader.rest()
        assert reader.events[-1]["event"] == "TeamRunCompleted"
        assert reader.events[2:] == await paged(client)


async def test_a_page_of_a_run_at_work_and_the_next_one(client: ServerClient) -> None:
    hold = client.model.hold("wait", after=1)
    run = await client.begin("wait", session_id="s1", run_id="r1")
    await hold.reached.wait()
    early = await client.get(f"{RUN}/events", session_id="s1")
    assert (early["status"], early["is_final"]) == ("RUNNING", False)
    hold.release()
    await client.ended(run)
    late = await client.get(f"{RUN}/events", session_id="s1", after=early["last_event_index"])
    assert late["is_final"]
    assert early["events"] + late["events"] == await paged(client)


async def test_many_readers_of_one_run_are_sent_the_same(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some from the start, some from the middle, each to the end; few write its events."""
    written: Counter[int] = Counter()
    frame = EventFrames.frame

    def counting(self: EventFrames, event: Event, index: int, *members: Any) -> bytes:
        written[index] += 1
        return frame(self, event, index, *members)

    monkeypatch.setattr(EventFrames, "frame", counting)
    async with serve_live() as client:
        hold = client.model.hold("[[DELEGATE", after=0)
        readers: list[Reader] = []

        async def read(after: int) -> list[dict[str, Any]]:
            data = {"session_id": "s1", "last_event_index": str(after)}
            async with client.opened("POST", f"{RUN}/resume", data=data) as reader:
                readers.append(reader)
                await reader.until("subscribed")
                return await reader.rest()

        # Calls and runs of members, because more or less text is joined to one event as the machine is busy.
        calls = " || ".join(["DELEGATE writer-agent: x"] * 6)
        await client.begin(f"[[{calls}]]", session_id="s1", run_id="r1")
        await hold.reached.wait()
        tasks = [asyncio.ensure_future(read(after)) for after in (-1, 0, 1) for _ in range(10)]
        while sum(any(event["event"] == "subscribed" for event in reader.events) for reader in readers) < 30:
            await client.get("/-/live")
        hold.release()
        rests = await asyncio.gather(*tasks)
        assert max(written.values()) <= 4, "the page of the store of each place where readers began, and the live one"
        whole = await paged(client)
        # The events before the hold are stored a moment after it is reached: a reader may get the last of them live.
        assert all(whole[-len(rest) :] == rest for rest in rests)
        assert [event for event in readers[0].events if "event_index" in event] == whole[-len(readers[0].events) + 2 :]
        assert len(whole) > 20


async def test_a_stream_waits_for_a_database_that_is_away(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await client.stream("hello", session_id="s1", run_id="r1")).events
    read, failures = subscription.stored_after, [StoreUnavailable()] * 3

    async def failing(*args: Any) -> Stored:
        if failures:
            raise failures.pop()
        return await read(*args)

    monkeypatch.setattr(subscription, "stored_after", failing)
    monkeypatch.setattr(sse, "RETRY_SECONDS", 0)
    assert (await resumed(client))[1:] == whole
    assert not failures


# --- fewer events -------------------------------------------------------------------------------------


async def test_a_reader_that_comes_back_sees_what_it_saw(client: ServerClient) -> None:
    """A run that was asked for without events is resumed without; pages and streams show all unless told."""
    few = (await client.stream(DELEGATE, session_id="s1", run_id="r1", stream_events="false")).events
    whole = await paged(client)
    assert len(few) < len(whole)
    replay, *events = await resumed(client)
    assert (events, replay["total_events"], replay["total_buffered"]) == (few, len(few), len(whole))
    assert (await resumed(client, stream_events="true"))[1:] == whole
    assert await paged(client, stream_events="false", limit=2) == few
    assert await streamed(client, -1, stream_events="false") == few
    cut = few[len(few) // 2]["event_index"]
    assert (await resumed(client, cut))[1:] == [event for event in few if event["event_index"] > cut]


# --- refusals -----------------------------------------------------------------------------------------


async def test_what_is_not_found(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    await client.run("hello", session_id="s2")
    for run, session_id in (
        (RUN, "s2"),
        (RUN, "nope"),
        ("/teams/demo-team/runs/nope", "s1"),
        ("/teams/other-team/runs/r1", "s1"),
        ("/agents/solo-agent/runs/r1", "s1"),
    ):
        for answer in (
            await client.http.post(f"{run}/resume", data={"session_id": session_id}),
            await client.http.get(f"{run}/events", params={"session_id": session_id}),
            await client.http.get(f"{run}/events", params={"session_id": session_id}, headers=SSE),
        ):
            assert problem(answer, 404, "NOT_FOUND") == "Run not found"
    assert problem(await client.http.post("/teams/nope/runs/r1/resume"), 404, "NOT_FOUND") == "Team not found"


@pytest.mark.parametrize("index", ["x", "-2", "1.5", "99999999999999999999"])
async def test_an_index_is_a_whole_number(client: ServerClient, index: str) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    answer = await client.http.post(f"{RUN}/resume", data={"last_event_index": index, "session_id": "s1"})
    assert wrong_fields(answer) == [("body", "last_event_index")]
    answer = await client.http.get(f"{RUN}/events", params={"after": index, "session_id": "s1"})
    assert wrong_fields(answer) == [("query", "after")]
    headers = {"Last-Event-ID": index}
    answer = await client.http.get(f"{RUN}/events", params={"session_id": "s1"}, headers=headers)
    assert wrong_fields(answer) == [("header", "Last-Event-ID")]


@pytest.mark.parametrize(
    ("query", "where"),
    [({}, "session_id"), ({"session_id": ""}, "session_id"), ({"limit": "0"}, "limit"), ({"limit": "1001"}, "limit")],
)
async def test_what_a_page_needs(client: ServerClient, query: dict[str, str], where: str) -> None:
    query_string = query if where == "session_id" else {"session_id": "s1", **query}
    assert wrong_fields(await client.http.get(f"{RUN}/events", params=query_string)) == [("query", where)]
