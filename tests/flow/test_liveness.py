"""`/-/live` is answered soon, whatever a model says and whatever clients read of it."""

import asyncio
import contextlib
import itertools
import json
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic_ai.messages import ModelMessage, ToolReturnPart

from musterd import Agent, Condition, Parallel, Step, StepInput, Workflow, tool
from musterd.cli.thread_switching import shorten_waits_for_threads
from musterd.core import clock
from musterd.core.settings import Settings
from musterd.wire.event_pages import PAGE_BYTES
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient
from tests.support.loop import Call, Turn, TurnModel

SOON_SECONDS = 0.2
"""Twice the 100 ms of the handbook: a busy machine also needs more processor time."""
TRIES = 3
LIMITS = Settings.model_fields
ANSWER_BYTES: int = LIMITS["model_answer_bytes"].default
ARGUMENTS_BYTES: int = LIMITS["tool_arguments_bytes"].default
RESULT_BYTES: int = LIMITS["tool_result_stored_bytes"].default
CALLS = 12
"""More than a page of events holds."""

LARGE_CALLS, LARGE_STEPS, LARGE_LIST = 16, 48, 20_000
LARGE_JSON, JSON_STEPS = 60_000, 6
COPIES, COPIED_CHARACTERS = 4_000, 200

Work = Callable[[], Awaitable[object]]


@pytest.fixture
def switch_interval() -> Iterator[None]:
    """How soon a thread that computes gives way to the event loop, as in a server process."""
    seconds = sys.getswitchinterval()
    shorten_waits_for_threads()
    yield
    sys.setswitchinterval(seconds)


async def assert_lives(client: ServerClient, work: Work) -> None:
    """No turn of the event loop is long while ``work`` is done and `/-/live` is asked again and again."""
    seconds: list[float] = []
    while len(seconds) < TRIES:
        seconds.append(await longest_turn(client, work))
        if seconds[-1] < SOON_SECONDS:
            return
    pytest.fail(f"/-/live waited for {seconds} seconds of processor time")


async def longest_turn(client: ServerClient, work: Work) -> float:
    """The most processor time that one turn of the event loop takes, for which `/-/live` waits.

    Time during which a busy machine does something else does not count. What other threads do in the meantime does:
    they may hold the interpreter's lock.
    """
    working = asyncio.ensure_future(work())
    asking, longest = asyncio.ensure_future(ask_until(working, client)), 0.0
    while not working.done():
        began_at = time.process_time()
        await clock.yield_to_others()
        longest = max(longest, time.process_time() - began_at)
    await working
    assert await asking > 0
    return longest


async def ask_until(working: asyncio.Future[object], client: ServerClient) -> int:
    """Ask `/-/live` until ``working`` is done; how often it was answered."""
    count = 0
    while not working.done():
        assert await client.get("/-/live") == {"status": "live"}
        count += 1
    return count


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

        def read_run() -> None:
            url, form = f"{client.http.base_url}/agents/solo-agent/runs", {"message": "hi", "stream": "true"}
            answer = httpx2.post(url, data=form, timeout=120)
            assert len(answer.text) > 2 * ANSWER_BYTES  # the deltas, and the end
            assert "event: RunCompleted\n" in answer.text

        await assert_lives(client, lambda: asyncio.to_thread(read_run))


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_beside_events_with_large_results(serve_live: Serve, accept: str) -> None:
    calls = [Call("keep", {"note": "x"}) for _ in range(CALLS)]
    agent = Agent(id="solo-agent", model=TurnModel(calls, "done"), tools=[keep])
    async with serve_live(served=Sample([], [agent])) as client:
        form = {"message": "hi", "background": "true", "stream": "false", "session_id": "s1", "run_id": "r1"}
        assert (await client.http.post("/agents/solo-agent/runs", data=form)).status_code == 202
        await read(client, "/agents/solo-agent/runs/r1", session_id="s1", wait=60)

        async def read_events() -> None:
            shown = await read(client, "/agents/solo-agent/runs/r1/events", accept, session_id="s1")
            assert len(shown) > PAGE_BYTES

        await assert_lives(client, read_events)


async def test_beside_a_run_with_many_large_results(serve_live: Serve, switch_interval: None) -> None:
    calls = [Call("keep", {"note": "x"}) for _ in range(LARGE_CALLS)]
    agent = Agent(id="solo-agent", model=TurnModel(calls, "done"), tools=[keep])
    async with serve_live(served=Sample([], [agent])) as client:
        numbers = itertools.count()

        async def finish_a_run() -> None:
            form = {"message": "hi", "background": "true", "stream": "false", "session_id": "s1"}
            await client.http.post("/agents/solo-agent/runs", data={**form, "run_id": f"r{next(numbers)}"})
            while (await client.get("/sessions/s1/run-previews"))[-1]["status"] != "COMPLETED":
                await clock.yield_to_others()

        await assert_lives(client, finish_a_run)
        for path in ("/agents/solo-agent/runs/r0", "/sessions/s1/runs/r0", "/runs/r0", "/agents/solo-agent/runs"):

            async def read_runs(path: str = path) -> None:
                assert len(await read(client, path, session_id="s1")) > LARGE_CALLS * RESULT_BYTES

            await assert_lives(client, read_runs)


async def test_beside_a_workflow_with_many_large_steps(serve_live: Serve, switch_interval: None) -> None:
    def fill(step_input: StepInput) -> str:
        return "x" * (RESULT_BYTES // 2)

    steps = [Step(name=f"fill {number}", executor=fill) for number in range(LARGE_STEPS)]
    async with serve_live(served=Sample([], [], [Workflow(id="filling", steps=steps)])) as client:
        form = {"message": "hi", "background": "true", "stream": "false", "session_id": "s1", "run_id": "r1"}
        assert (await client.http.post("/workflows/filling/runs", data=form)).status_code == 202
        await read(client, "/workflows/filling/runs/r1", session_id="s1", wait=60)

        async def read_run() -> None:
            shown = await read(client, "/workflows/filling/runs/r1", session_id="s1")
            assert len(shown) > LARGE_STEPS * RESULT_BYTES // 2

        await assert_lives(client, read_run)


async def test_beside_a_condition_that_goes_through_a_large_list(serve_live: Serve, switch_interval: None) -> None:
    text = "additional_data.list.all(x, additional_data.list.all(y, x + y >= 0))"
    condition = Condition(name="if", evaluator=text, steps=[Step(name="then", executor=lambda step_input: "done")])
    async with serve_live(served=Sample([], [], [Workflow(id="choosing", steps=[condition])])) as client:
        data = json.dumps({"list": list(range(LARGE_LIST))})
        form = {"message": "hi", "stream": "false", "additional_data": data}

        async def choose() -> None:
            view = (await client.http.post("/workflows/choosing/runs", data=form, timeout=120)).json()
            assert view["status"] == "ERROR"
            assert view["content"].startswith("Condition 'if' could not choose: ")
            assert view["content"].endswith("it takes more than 2 s with values of this size")

        await assert_lives(client, choose)


async def test_beside_a_question_about_large_json(serve_live: Serve, switch_interval: None) -> None:
    def fill(step_input: StepInput) -> list[dict[str, int]]:
        return [{"a": number} for number in range(LARGE_JSON)]

    branches = [Step(name=f"fill {number}", executor=fill) for number in range(JSON_STEPS)]
    ask = Step(name="ask", executor=lambda step_input: "done", requires_confirmation=True)
    asking = Workflow(id="asking", steps=[Parallel(*branches, name="both"), *branches, ask])
    async with serve_live(served=Sample([], [], [asking])) as client:
        url = f"{client.http.base_url}/workflows/asking/runs"

        def ask_and_continue() -> None:  # in a thread, so that only the server's work is measured
            form = {"message": "hi", "stream": "false"}
            paused = httpx2.post(url, data=form, timeout=120).json()
            decision = [{"step_id": paused["step_requirements"][0]["step_id"], "confirmed": True}]
            form = {"session_id": paused["session_id"], "stream": "false", "step_requirements": json.dumps(decision)}
            done = httpx2.post(f"{url}/{paused['run_id']}/continue", data=form, timeout=120)
            assert done.status_code == 200
            assert "COMPLETED" in done.text

        await assert_lives(client, lambda: asyncio.to_thread(ask_and_continue))


async def test_beside_a_session_with_thousands_of_runs(
    serve_live: Serve, switch_interval: None, database: Path
) -> None:
    async with serve_live() as client:
        await client.run("x" * COPIED_CHARACTERS, session_id="s1", run_id="r1")
        await copy_run("r1", database)
        requests = {"GET": None, "PATCH": {"session_name": "long"}, "POST": {"session_name": "longer"}}
        for method, body in requests.items():
            path = "/sessions/s1/rename" if method == "POST" else "/sessions/s1"

            async def ask(method: str = method, path: str = path, body: Any = body) -> None:
                url = f"{client.http.base_url}{path}"
                answer = await asyncio.to_thread(httpx2.request, method, url, json=body, timeout=120)
                assert answer.status_code == 200
                assert len(answer.content) > COPIES * COPIED_CHARACTERS

            await assert_lives(client, ask)


async def copy_run(run_id: str, database: Path) -> None:
    """Fill the run's session with copies of it."""
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in ("runs", "run_io"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            new = {"run_id": "'c' || n", "root_id": "'c' || n", "seq": "n"}
            connection.execute(
                f"""WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {COPIES})
                    INSERT INTO {table} ({", ".join(columns)})
                    SELECT {", ".join(new.get(column, column) for column in columns)} FROM {table}, numbers
                    WHERE run_id = ?""",  # noqa: S608
                [run_id],
            )
        connection.execute("COMMIT")
