"""What the host decides in a turn of the embedded model, and what it asks the model."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from musterd.core.errors import ModelFailed
from musterd.core.records import Usage
from musterd.models.local.turn import Piece, Prompter, Turn
from musterd.models.scripted_plan import BROADCAST, DELEGATE, Call

pytestmark = pytest.mark.anyio

TEAM = """You lead. Long words.

<instructions>
Be kind.
</instructions>

<team_members>
<member id="weather" name="Weather">
  Role: Knows the weather
</member>
<member id="writer" name="Writer">
  Role: Writes texts
</member>
</team_members>"""


class FakeRuntime:
    """Answers from a list; letters are answered by the words of the request."""

    def __init__(self, *answers: str, letters: Mapping[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.letters = letters or {}
        self.questions: list[str] = []
        self.systems: list[str] = []

    async def stream(self, key: str, body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
        question = body["messages"][-1]["content"]
        if "logprobs" in body:
            letter = next((letter for words, letter in self.letters.items() if words in question), None)
            tops = [{"token": sign, "logprob": -0.1 if sign == letter else -3.0} for sign in "ABCDEF"]
            yield {"choices": [{"delta": {}, "logprobs": {"content": [{"top_logprobs": tops}]}}]}
        else:
            self.questions.append(question)
            self.systems.append(body["messages"][0]["content"])
            for word in self.answers.pop(0).split(" "):
                yield {"choices": [{"delta": {"content": word}}]}
        used = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
        yield {"choices": [], "usage": used}


def function(name: str, **properties: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"name": name, "description": f"Does {name}.", "parameters": schema}


DELEGATION = function(DELEGATE, member_id="string", task="string")


def conversation(system: str, request: str, *called: tuple[Call, str]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}, {"role": "user", "content": request}]
    calls = [
        {"id": str(place), "function": {"name": call.name, "arguments": json.dumps(call.args)}}
        for place, (call, _) in enumerate(called)
    ]
    if calls:
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
    results = [{"role": "tool", "tool_call_id": str(place), "content": text} for place, (_, text) in enumerate(called)]
    return messages + results[::-1]


async def play(
    runtime: FakeRuntime,
    messages: list[dict[str, Any]],
    *functions: dict[str, Any],
    schema: dict[str, Any] | None = None,
) -> list[Piece]:
    turn = Turn(messages=messages, functions=functions, bias={}, schema=schema)
    return [piece async for piece in turn.run(Prompter(runtime))]


def text(pieces: list[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def task(member: str, words: str) -> Call:
    return Call(name=DELEGATE, args={"member_id": member, "task": words})


REQUEST = "Will it rain in Oslo, say hello, and write a line?"


async def test_a_leader_gives_each_clause_to_whose_work_it_is() -> None:
    runtime = FakeRuntime(letters={'"Will it rain': "A", '"write a line': "B", '"say hello': "C"})
    assert await play(runtime, conversation(TEAM, REQUEST), DELEGATION) == [
        task("weather", "Will it rain in Oslo"),
        task("writer", "write a line?"),
    ]


async def test_a_leader_joins_the_replies_and_answers_what_is_left() -> None:
    runtime = FakeRuntime("Hello !")
    results = [(task("weather", "Will it rain in Oslo"), "No.\n"), (task("writer", "write a line?"), "A line.")]
    assert text(await play(runtime, conversation(TEAM, REQUEST, *results), DELEGATION)) == "No.\n\nHello!\n\nA line."
    assert runtime.questions == ["say hello"]
    assert runtime.systems == ["Be kind.\n\nBe brief: a few sentences at most."]


async def test_a_leader_answers_what_is_nobodys_work() -> None:
    runtime = FakeRuntime("Hello you", letters={"hello": "C"})
    assert text(await play(runtime, conversation(TEAM, "hello"), DELEGATION)) == "Helloyou"


async def test_a_clause_is_parted_where_its_parts_are_different_work() -> None:
    runtime = FakeRuntime(letters={'"Tell me the weather': "A", '"a line for': "B", '"the rain': "A"})
    request = "Tell me the weather in Oslo and a line for readers"
    calls = [task("weather", "Tell me the weather in Oslo"), task("writer", "a line for readers")]
    assert await play(runtime, conversation(TEAM, request), DELEGATION) == calls
    messages = conversation(TEAM, request, (calls[0], "dry"), (calls[1], "Hello."))
    assert text(await play(FakeRuntime(), messages, DELEGATION)) == "dry\n\nHello."
    request = "Tell me the weather in Oslo and the rain in Rome"
    assert await play(runtime, conversation(TEAM, request), DELEGATION) == [task("weather", request)]


async def test_one_tool_is_called_as_often_as_it_is_needed() -> None:
    weather = function("get_weather", city="string")
    runtime = FakeRuntime('[{"city":"Oslo"}, {"city":"Rome"}, {"city":"Oslo"}]')
    assert await play(runtime, conversation("", "Oslo and Rome?"), weather) == [
        Call(name="get_weather", args={"city": "Oslo"}),
        Call(name="get_weather", args={"city": "Rome"}),
    ]


async def test_a_members_own_words_weigh_more_than_nobody() -> None:
    runtime = FakeRuntime(letters={'"write': "C"})
    assert await play(runtime, conversation(TEAM, "write a poem"), DELEGATION) == [task("writer", "write a poem")]


async def test_a_leaders_own_tool_is_a_choice_too() -> None:
    runtime = FakeRuntime('[{"zone": "UTC"}]', letters={'"what time': "C"})
    clock = function("get_time", zone="string")
    call = Call(name="get_time", args={"zone": "UTC"})
    assert await play(runtime, conversation(TEAM, "what time is it"), DELEGATION, clock) == [call]
    runtime = FakeRuntime("Noon")
    messages = conversation(TEAM, "what time is it", (call, "12:00"))
    assert text(await play(runtime, messages, DELEGATION, clock)) == "Noon"
    assert runtime.questions == ["Request: what time is it\nResult: 12:00"]


async def test_replies_to_other_words_than_the_requests_are_joined() -> None:
    messages = conversation(TEAM, "do it", (task("weather", "x"), "one"), (task("writer", "y"), "two"))
    assert text(await play(FakeRuntime(), messages, DELEGATION)) == "one\n\ntwo"


async def test_a_broadcast_passes_the_request_on() -> None:
    broadcast = function(BROADCAST, task="string")
    call = Call(name=BROADCAST, args={"task": "all of you"})
    assert await play(FakeRuntime(), conversation(TEAM, "all of you"), broadcast) == [call]
    messages = conversation(TEAM, "all of you", (call, "one two"))
    assert text(await play(FakeRuntime(), messages, broadcast)) == "one two"


async def test_an_agent_with_one_tool_calls_it_and_answers_from_the_result() -> None:
    weather = function("get_weather", city="string")
    pieces = await play(FakeRuntime('[{"city": "Oslo"}]'), conversation("", "rain in Oslo?"), weather)
    call = Call(name="get_weather", args={"city": "Oslo"})
    assert pieces == [call]
    runtime = FakeRuntime("Dry today")
    assert text(await play(runtime, conversation("", "rain?", (call, "dry")), weather)) == "Drytoday"
    assert runtime.questions == ["Request: rain?\nResult: dry"]


async def test_a_tool_without_arguments_needs_no_question() -> None:
    assert await play(FakeRuntime(), conversation("", "now"), function("now")) == [Call(name="now", args={})]


async def test_arguments_that_were_cut_off_fail_in_words() -> None:
    with pytest.raises(ModelFailed, match="no arguments for look"):
        await play(FakeRuntime('[{"city": "'), conversation("", "x"), function("look", city="string"))


async def test_an_agent_with_several_tools_chooses() -> None:
    tools = (function("a", x="string"), function("b"))
    call = Call(name="a", args={"x": "1"})
    chosen = json.dumps({"tool": "a", "args": {"x": "1"}}).replace(" ", "")
    assert await play(FakeRuntime(chosen), conversation("s", "x"), *tools) == [call]
    assert text(await play(FakeRuntime('{"answer":"done"}'), conversation("s", "x", (call, "r")), *tools)) == "done"
    repeats = FakeRuntime(chosen, "from results")
    assert text(await play(repeats, conversation("s", "x", (call, "r")), *tools)) == "fromresults"


async def test_an_agent_without_tools_speaks() -> None:
    runtime = FakeRuntime("a b")
    assert await play(runtime, conversation("You write.", "a poem")) == ["a", "b"]
    assert runtime.systems == ["You write.\n\nBe brief: a few sentences at most."]


async def test_a_form_holds_the_answer_also_after_results() -> None:
    runtime = FakeRuntime("{}", "{}")
    look = function("look")
    messages = conversation("s", "x", (Call(name="look", args={}), "r"))
    assert text(await play(runtime, messages, look, schema={"type": "object"})) == "{}"
    messages = conversation(TEAM, "x", (task("weather", "x"), "r"))
    assert text(await play(runtime, messages, DELEGATION, schema={"type": "object"})) == "{}"
    assert runtime.questions == ["Results:\nr", "Results:\nr"]


async def test_what_was_asked_is_counted_and_bias_is_asked_once() -> None:
    ask = Prompter(FakeRuntime(letters={'"rain': "A"}))
    bias: dict[tuple[str, ...], list[list[float]]] = {}
    for _ in range(2):
        turn = Turn(messages=conversation(TEAM, "rain"), functions=[DELEGATION], bias=bias)
        assert [piece async for piece in turn.run(ask)] == [task("weather", "rain")]
    assert ask.usage == Usage(input_tokens=35, output_tokens=10, cache_read_tokens=15)
    assert len(bias) == 1
