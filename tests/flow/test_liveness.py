"""`/-/live` is answered soon, whatever a model says and whatever clients read of it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from pydantic_ai.messages import ModelMessage, ToolReturnPart

from musterd import Agent, Step, Workflow, tool
from musterd.core.settings import Settings
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient
from tests.support.loop import Call, Turn, TurnModel

SOON_SECONDS = 0.1
TRIES = 3
LIMITS = Settings.model_fields
ANSWER_BYTES = LIMITS["model_answer_bytes"].default
ARGUMENTS_BYTES = LIMITS["tool_arguments_bytes"].default
RESULT_BYTES = LIMITS["tool_result_stored_bytes"].default
STEPS = 24

Work = Callable[[], Awaitable[object]]


async def assert_lives(client: ServerClient, work: Work) -> None:
    """`/-/live` is answered soon while ``work`` is done."""
    seconds: list[float] = []
    while len(seconds) < TRIES:
        seconds.append(await slowest_answer(client, work))
        if seconds[-1] < SOON_SECONDS:
            return
    pytest.fail(f"/-/live waited for {seconds} seconds of processor time")


async def slowest_answer(client: ServerClient, work: Work) -> float:
    """The most processor time of the event loop until it has answered `/-/live`, while ``work`` is done.

    Time during which a busy machine does something else does not count.
    """
    working, slowest = asyncio.ensure_future(work()), 0.0
    while not working.done():
        began_at = time.thread_time()
        await client.get("/-/live")
        slowest = max(slowest, time.thread_time() - began_at)
    await working
    return slowest


async def read(client: ServerClient, path: str, accept: str = "application/json", **query: Any) -> str:
    """What the server sends, which is read in a thread, so that only the server's work is measured."""

    def get() -> str:
        answer = httpx2.get(f"{client.http.base_url}{path}", params=query, headers={"accept": accept}, timeout=120)
        assert answer.status_code == 200
        return answer.text

    return await asyncio.to_thread(get)


@tool
def keep(note: str) -> str:
    """Keep a note."""
    return note[:1] * RESULT_BYTES


async def test_beside_the_largest_answer_and_arguments_of_a_model(serve_live: Serve) -> None:
    note = "x" * (ARGUMENTS_BYTES - 100)
    calls = [Call("keep", {"note": note}) for _ in range(ANSWER_BYTES // ARGUMENTS_BYTES)]

    def answer(messages: list[ModelMessage]) -> Turn:
        is_second = any(isinstance(part, ToolReturnPart) for part in messages[-1].parts)
        return "x" * ANSWER_BYTES if is_second else calls

    agent = Agent(id="solo-agent", model=TurnModel(ask=answer), tools=[keep])
    async with serve_live(served=Sample([], [agent])) as client:

        async def run() -> None:
            form = {"message": "hi", "background": "true", "stream": "false"}
            begun = (await client.http.post("/agents/solo-agent/runs", data=form)).json()
            path = f"/agents/solo-agent/runs/{begun['run_id']}"
            shown = await read(client, path, session_id=begun["session_id"], wait=60)
            content = await asyncio.to_thread(lambda: json.loads(shown)["content"])
            assert len(content) == ANSWER_BYTES

        await assert_lives(client, run)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_beside_the_events_of_large_steps(serve_live: Serve, accept: str) -> None:
    steps = [Step(name=f"step {number}", executor=lambda _: "x" * RESULT_BYTES) for number in range(STEPS)]
    workflow = Workflow(id="large", steps=steps)
    async with serve_live(served=Sample([], [], [workflow])) as client:
        form = {"message": "hi", "background": "true", "stream": "false", "session_id": "s1", "run_id": "r1"}
        assert (await client.http.post("/workflows/large/runs", data=form)).status_code == 202
        await read(client, "/workflows/large/runs/r1", session_id="s1", wait=60)

        async def read_events() -> None:
            shown = await read(client, "/workflows/large/runs/r1/events", accept, session_id="s1")
            assert len(shown) > STEPS * RESULT_BYTES

        await assert_lives(client, read_events)
