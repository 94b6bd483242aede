"""Both clients follow runs: each event once, in order, until the run finishes or pauses, also if connections break."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd.client import Event, NotFound
from tests.support.clients import Connect, EitherClient
from tests.support.flaky_proxy import through

CALL = '[[TOOL get_weather {"city": "Rome"}]]'


async def stored(client: EitherClient, run: Any) -> list[dict[str, Any]]:
    """All events of a run, as a page has them."""
    page = await client.runs.events(run)
    assert not page.has_more
    return [event.raw for event in page.events]


async def collected(events: AsyncIterator[Event]) -> list[dict[str, Any]]:
    return [event.raw async for event in events]


async def test_a_run_is_followed_to_its_end(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold("[[WORDS", after=2)
        run = await client.start("demo-team", "[[WORDS 5]]")
        events: list[Event] = []
        async for event in client.follow(run):
            events.append(event)
            if event.name == "TeamRunContent":
                hold.release()
        assert [event.raw for event in events] == await stored(client, run)
        assert "".join(event.content for event in events if event.name == "TeamRunContent") == events[-1].content
        assert (events[0].name, events[-1].name) == ("TeamRunStarted", "TeamRunCompleted")
        assert (events[0].depth, events[0].member, events[0].run_id) == (0, None, run.run_id)


async def test_a_finished_run_is_read_again_from_any_place(connect: Connect) -> None:
    async with connect() as (_, client):
        run = await client.run("demo-team", "[[DELEGATE weather-agent: <SAY hi>]]")
        whole = await stored(client, run)
        assert await collected(client.follow(run)) == whole
        assert await collected(client.follow(run, after=whole[3]["event_index"])) == whole[4:]
        assert await collected(client.follow(run, after=whole[-1]["event_index"])) == []
        member = next(event["run_id"] for event in whole if event["nested_depth"] == 1)
        members = await collected(client.follow(member))
        assert members == [event for event in whole if event["run_id"] == member]
        assert {Event.of(event).member for event in members} == {"Weather Agent"}


async def test_a_run_that_does_not_exist(connect: Connect) -> None:
    async with connect() as (_, client):
        with pytest.raises(NotFound):
            await collected(client.follow("nope"))


async def test_leaving_a_stream_closes_its_connection(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold("hello")
        run = await client.start("demo-team", "hello")
        async with contextlib.aclosing(client.follow(run)) as events:
            assert (await anext(events)).name == "TeamRunStarted"
        del events
        while server.server.broadcaster.has_subscribers(run.run_id):
            await server.get("/-/live")
        hold.release()
        assert (await client.wait(run)).status == "COMPLETED"


# --- connections that break -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_after", [0, 1, 400, 1500, 2500])
async def test_a_stream_that_breaks_anywhere_goes_on(connect: Connect, client_kind: str, cut_after: int) -> None:
    """Connections break after so many bytes of its answer, in the middle of an event or of the head."""
    async with connect(stream_gzip=False) as (server, direct):
        run = await direct.run("demo-team", CALL)
        whole = await stored(direct, run)
        async with through(client_kind, server, cut_after=cut_after, cuts=4) as (proxy, client):
            assert await collected(client.follow(run)) == whole
            assert proxy.cuts < 4, "connections were reset"


async def test_a_compressed_stream_that_breaks_goes_on(connect: Connect, client_kind: str) -> None:
    async with connect() as (server, direct):
        run = await direct.run("demo-team", CALL)
        async with through(client_kind, server, cut_after=600, cuts=3) as (_, client):
            assert await collected(client.follow(run)) == await stored(direct, run)


async def test_a_start_whose_answer_is_lost_starts_one_run(connect: Connect, client_kind: str) -> None:
    async with connect() as (server, direct):
        async with through(client_kind, server, cut_after=0, cuts=2) as (_, client):
            run = await client.run("demo-team", "hello")
        (listed,) = await direct.runs.list()
        assert listed.run_id == run.run_id
