"""Models that send what hurts: the run ends in words, and can be read wherever it stands."""

from pathlib import Path

import pytest

from musterd import Agent, tool
from tests.support.app import Sample, app_on, in_process
from tests.support.http import ServerClient
from tests.support.loop import Call, TurnModel

RUN = "/agents/solo-agent/runs/r1"
PLACES = [
    RUN,
    f"{RUN}/events",
    f"{RUN}/steps",
    f"{RUN}/messages",
    f"{RUN}/checkpoints",
    "/agents/solo-agent/runs",
    "/sessions/s1/runs",
    "/sessions/s1",
    "/runs",
    "/traces",
    "/approvals",
]


@tool(requires_confirmation=True)
def pay(amount: float, note: str = "") -> str:
    """Pay."""
    return f"paid {amount}"


async def started(client: ServerClient) -> dict[str, object]:
    form = {"message": "hi", "stream": "false", "run_id": "r1", "session_id": "s1"}
    answer = await client.http.post("/agents/solo-agent/runs", data=form)
    assert answer.status_code == 200
    read: dict[str, object] = answer.json()
    return read


async def assert_readable(client: ServerClient) -> None:
    answers = {place: await client.http.get(place, params={"session_id": "s1"}) for place in PLACES}
    assert {place: answer.status_code for place, answer in answers.items() if answer.status_code != 200} == {}


NESTED = '{"amount": 1, "note": ' + "[" * 50_000 + "]" * 50_000 + "}"


@pytest.mark.parametrize("arguments", ['{"amount": 1e999}', NESTED], ids=["1e999", "nested"])
@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_call_with_arguments_that_have_no_json_leaves_the_run_readable(
    database: Path, arguments: str, is_paused: bool
) -> None:
    calls = [Call("pay", arguments), *([Call("pay", {"amount": 1})] if is_paused else [])]
    agent = Agent(id="solo-agent", model=TurnModel(calls, "done"), tools=[pay])
    async with in_process(app_on(database, served=Sample([], [agent]))) as client:
        run = await started(client)
        assert run["status"] == ("PAUSED" if is_paused else "COMPLETED")
        await assert_readable(client)


async def test_a_turn_with_too_many_calls_ends_the_run_in_words(database: Path) -> None:
    calls = [Call("pay", {"amount": place}) for place in range(129)]
    agent = Agent(id="solo-agent", model=TurnModel(calls), tools=[pay])
    async with in_process(app_on(database, served=Sample([], [agent]))) as client:
        run = await started(client)
        assert run["status"] == "ERROR"
        assert run["error"] == {
            "code": "turn_tool_calls",
            "message": "The model asked for more than 128 tool calls in one turn. None of them was made.",
            "retryable": False,
        }
        await assert_readable(client)
