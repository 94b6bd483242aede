"""Live and replayed are one sequence: a stream that is cut anywhere, and gone on with in any way, is the whole."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Team, tool
from tests.flow.test_resume import paged, resumed, streamed
from tests.support.app import Sample, Serve, app_on, in_process
from tests.support.engine import cut_off
from tests.support.http import ServerClient

TEAM = "teams/demo-team"
RUN = f"/{TEAM}/runs/r1"
FIELDS = {"session_id": "s1", "run_id": "r1"}


class Desk:
    """A team with a tool that a person is asked about, and one that hangs until the server is killed."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.hangs = asyncio.Event()
        self.is_hanging = True

    def sample(self) -> Sample:
        @tool(requires_confirmation=True)
        def pay(n: int) -> str:
            """Pay."""
            return f"paid {n}"

        @tool(retry_safe=True)
        async def stay() -> str:
            """Stay."""
            if self.is_hanging:
                self.hangs.set()
                await asyncio.Event().wait()
            return "gone"

        tools = [pay, stay]
        deep = Agent(id="deep", name="Deep", tools=tools)
        inner = Team(id="inner-team", name="Inner Team", members=[deep], tools=tools)
        one = Agent(id="one", name="One", tools=tools)
        team = Team(id="demo-team", name="Demo Team", members=[one, inner], tools=tools, model="scripted")
        return Sample([team], [])

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ServerClient]:
        async with in_process(app_on(self.database, served=self.sample(), delta_seconds=0.001)) as client:
            yield client


async def plain(desk: Desk, client: ServerClient) -> None:
    await client.stream("[[WORDS 12 1]]", **FIELDS)


async def delegating(desk: Desk, client: ServerClient) -> None:
    await client.stream("[[DELEGATE one: <WORDS 6 1>]]", **FIELDS)


async def nested(desk: Desk, client: ServerClient) -> None:
    await client.stream("[[DELEGATE inner-team: do <DELEGATE deep: x>]]", **FIELDS)


async def decided(desk: Desk, client: ServerClient) -> None:
    paused = await client.stream('[[DELEGATE one: <TOOL pay {"n": 1}>]]', **FIELDS)
    assert paused.events[-1]["event"] == "TeamRunPaused"
    assert await paged(client) == paused.events
    replay, *events = await resumed(client)
    assert (events, replay["status"]) == (paused.events, "PAUSED")
    assert await streamed(client, -1) == paused.events
    last = paused.events[-1]["event_index"]
    waiting = asyncio.ensure_future(streamed(client, last))
    requirements = [{**one, "confirmation": True} for one in paused.events[-1]["requirements"]]
    data = {"session_id": "s1", "requirements": json.dumps(requirements), "stream": "true"}
    answer = await client.http.post(f"{RUN}/continue", data=data)
    assert "event: TeamRunContinued\n" in answer.text
    assert await waiting == await paged(client, last), "who has the pause waits for what follows"


async def recovered(desk: Desk, client: ServerClient) -> None:
    asking = asyncio.ensure_future(client.post("[[DELEGATE one: <TOOL stay {}>]]", background="true", **FIELDS))
    await desk.hangs.wait()
    await asking
    await cut_off(client.server.worker)


SHAPES: dict[str, Callable[[Desk, ServerClient], Awaitable[None]]] = {
    "plain": plain,
    "delegating": delegating,
    "nested": nested,
    "decided": decided,
    "recovered": recovered,
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_stream_that_is_cut_anywhere_is_the_whole(database: Path, shape: str) -> None:
    desk = Desk(database)
    async with desk.serving() as client:
        await SHAPES[shape](desk, client)
    desk.is_hanging = False
    async with desk.serving() as client:  # nothing of it is in this process's memory
        query = {"session_id": "s1", "wait": 60}
        assert (await client.get(RUN, **query))["status"] == "COMPLETED"
        whole = await paged(client)
        assert (await resumed(client))[1:] == await streamed(client, -1) == whole
        names = [event["event"] for event in whole]
        assert (names[0], names[-1]) == ("TeamRunStarted", "TeamRunCompleted")
        assert ("TeamRunContinued" in names) == (shape in ("decided", "recovered"))
        members = {event["run_id"] for event in whole} - {"r1"}
        for event in whole:
            index = event["event_index"]
            rest = whole[index + 1 :]
            assert (await resumed(client, index))[1:] == await streamed(client, index) == rest
            assert await paged(client, index, limit=2) == rest
            for member in members:
                own = [one for one in rest if one["run_id"] == member or one.get("parent_run_id") == member]
                assert await streamed(client, index, run=f"/{TEAM}/runs/{member}") == own


async def rest_of(client: ServerClient, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
    """The events of a stream to its end, without what is told beside them."""
    async with client.opened(method, path, **options) as reader:
        return [event for event in await reader.rest() if "event_index" in event]


@pytest.mark.parametrize(
    "message", ["[[WORDS 8 1]]", "[[DELEGATE writer-agent: <WORDS 4 1> || DELEGATE weather-agent: y]]"]
)
async def test_a_live_stream_that_is_cut_anywhere_is_the_whole(serve_live: Serve, message: str) -> None:
    async with serve_live(delta_seconds=0.001, first_delta_seconds=0) as client:
        cut, count = 0, 1
        while cut < count:
            run = f"/{TEAM}/runs/r{cut}"
            fields: dict[str, Any] = {"run_id": f"r{cut}", "session_id": f"s{cut}", "background": "true"}
            async with client.reading(message, **fields) as first:
                await first.some(cut + 1)
            begun = first.events[: cut + 1]
            last = begun[-1]["event_index"]
            query, headers = {"session_id": f"s{cut}"}, {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
            by_form, by_header = await asyncio.gather(
                rest_of(client, "POST", f"{run}/resume", data={**query, "last_event_index": str(last)}),
                rest_of(client, "GET", f"{run}/events", params=query, headers=headers),
            )
            whole = (await client.get(f"{run}/events", **query))["events"]
            assert begun + by_form == begun + by_header == whole
            count = len(whole) - 1
            cut += 1
        assert cut >= 5
