"""Model calls beside a run's turns, as clients see them: events in order, text in its place, tokens by role."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Team
from tests.support.app import Sample, app_on, in_process
from tests.support.http import ServerClient

PERSON = {"type": "object", "title": "Person", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
STEPS = {"reasoning_steps": [{"title": "a", "reasoning": "b", "next_action": "final_answer"}]}
TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "id": "scripted", "provider": "Scripted"}


@pytest.fixture
async def client(database: Path) -> AsyncIterator[ServerClient]:
    """Teams and an agent whose answers are shaped."""
    parsed: dict[str, Any] = {"model": "scripted", "output_schema": PERSON, "parser_model": "scripted"}
    teams = [
        Team(id="worded", model="scripted", members=[], output_model="scripted"),
        Team(id="parsed", members=[], **parsed),
        Team(id="thoughtful", model="scripted", members=[], reasoning=True),
    ]
    async with in_process(app_on(database, served=Sample(teams, [Agent(id="parsed", **parsed)]))) as serving:
        yield serving


async def test_a_worded_answer(client: ServerClient) -> None:
    stream = await client.stream("[[SAY so]]", to="teams/worded")
    assert stream.names == [
        "TeamRunStarted",
        "TeamModelRequestStarted",
        "TeamRunIntermediateContent",
        "TeamModelRequestCompleted",
        "TeamOutputModelResponseStarted",
        "TeamModelRequestStarted",
        "TeamRunContent",
        "TeamModelRequestCompleted",
        "TeamOutputModelResponseCompleted",
        "TeamRunContentCompleted",
        "TeamRunCompleted",
    ]
    assert stream.text() == stream.one("TeamRunCompleted")["content"] == "so"
    short = await client.stream("[[SAY so]]", to="teams/worded", stream_events="false")
    assert short.names == ["TeamRunContent", "TeamRunCompleted"]


@pytest.mark.parametrize("to", ["teams/parsed", "agents/parsed"])
async def test_a_parsed_answer(client: ServerClient, to: str) -> None:
    done = await client.run('[[SAY [[SAY {"age": 3}]]]]', to=to)
    assert (done["content"], done["content_type"]) == ({"age": 3}, "Person")
    metrics = done["metrics"]
    assert (metrics["input_tokens"], metrics["details"]) == (20, {"model": [TOKENS], "parser_model": [TOKENS]})
    assert [message["role"] for message in done["messages"]][-2:] == ["assistant", "assistant"]
    session: dict[str, Any] = await client.get(f"/sessions/{done['session_id']}", type=to[:-8])
    assert session["metrics"]["details"] == metrics["details"]


async def test_a_parsed_answer_follows_the_text_in_a_stream(client: ServerClient) -> None:
    stream = await client.stream('[[SAY [[SAY {"age": 3}]]]]', to="agents/parsed")
    *texts, answer = (event["content"] for event in stream.events if event["event"] == "RunContent")
    assert ("".join(texts), answer) == ('[[SAY {"age": 3}]]', {"age": 3})


async def test_a_form_that_the_request_asks_for_is_parsed_too(client: ServerClient) -> None:
    schema = {"type": "object", "title": "Named", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    message = '[[SAY [[SAY {"name": "Ada"}]]]]'
    done = await client.run(message, to="teams/parsed", output_schema=json.dumps(schema))
    assert (done["content"], done["content_type"]) == ({"name": "Ada"}, "Named")


async def test_a_parser_that_cannot(client: ServerClient) -> None:
    done = await client.run("hello", to="teams/parsed")
    assert (done["status"], done["error"]["code"]) == ("ERROR", "output_invalid")


async def test_thinking_first(client: ServerClient) -> None:
    stream = await client.stream(f"[[SAY {json.dumps(STEPS)}]]", to="teams/thoughtful", session_id="s1")
    assert stream.names[1:6] == [
        "TeamReasoningStarted",
        "TeamModelRequestStarted",
        "TeamModelRequestCompleted",
        "TeamReasoningStep",
        "TeamReasoningCompleted",
    ]
    step = stream.one("TeamReasoningStep")
    assert (step["content"]["title"], step["content_type"]) == ("a", "ReasoningStep")
    assert step["reasoning_content"] == "## a\nb\n\n"
    end = stream.one("TeamRunCompleted")
    assert end["reasoning_steps"] == [step["content"]]
    run = await client.get(f"/teams/thoughtful/runs/{end['run_id']}", session_id="s1")
    assert (run["reasoning_content"], run["reasoning_steps"]) == ("## a\nb", end["reasoning_steps"])
    assert set(run["metrics"]["details"]) == {"model", "reasoning_model"}
