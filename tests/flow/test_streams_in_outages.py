"""The database is away while the frames of a stream are made: what could not be shown then is shown later."""

import asyncio
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.http import sse
from musterd.service.subscription import RunSubscription
from tests.flow.test_resume import paged
from tests.support.app import Serve

RUN = "/teams/demo-team/runs/r1"
ASK = "[[DELEGATE writer-agent: x]]"


@pytest.mark.parametrize("path", [f"{RUN}/events", "/sessions/s1/events"])
async def test_what_could_not_be_shown_is_shown_later(
    serve_live: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(sse, "RETRY_SECONDS", 0)
    async with serve_live() as client:
        hold = client.model.hold(ASK)
        await client.begin(ASK, session_id="s1", run_id="r1")
        await hold.reached.wait()
        look, looks = client.server.runs.members_by_ids, 0

        async def once_the_database_is_back(*args: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise StoreUnavailable
            return await look(*args)

        monkeypatch.setattr(client.server.runs, "members_by_ids", once_the_database_is_back)
        query, headers = {"session_id": "s1"}, {"accept": "text/event-stream"}
        async with client.opened("GET", path, params=query, headers=headers) as reader:
            client.model.release()
            await reader.until("TeamRunCompleted")
        assert looks > 1
        assert reader.events == await paged(client, run=RUN)


async def test_a_stream_is_kept_open_meanwhile(serve_live: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy closes a connection on which nothing comes."""
    async with serve_live(ping_seconds=0.01) as client:
        hold = client.model.hold(ASK)
        await client.begin(ASK, session_id="s1", run_id="r1")
        await hold.reached.wait()

        def away(*_: Any) -> Any:
            raise StoreUnavailable

        monkeypatch.setattr(RunSubscription, "available", away)
        query, headers = {"session_id": "s1"}, {"accept": "text/event-stream"}
        async with client.opened("GET", f"{RUN}/events", params=query, headers=headers) as reader:
            async with asyncio.timeout(120):
                assert (await anext(reader.answer.aiter_text())).startswith(": ping\n\n")
