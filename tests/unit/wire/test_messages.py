"""Conversations: what pydantic-ai stores, as Agno shows it."""

from typing import Any

import pytest
from dirty_equals import IsUUID
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from musterd.core import jsontext
from musterd.wire.messages import agno_messages
from tests.unit.wire import samples


def rendered(*messages: ModelRequest | ModelResponse, stopping: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [samples.as_read(message) for message in agno_messages("my-run", samples.dumped(*messages), 7, stopping)]


def test_a_conversation_with_a_tool_has_the_peers_fields_in_its_order() -> None:
    system, user, asking, result, last = rendered(
        samples.prompt("weather?", "Be brief"),
        samples.answer(ToolCallPart("get_weather", '{"city": "Paris"}', "call_1")),
        samples.tool_result("get_weather", "Sunny in Paris", "call_1"),
        samples.answer(TextPart("Sunny"), first=0.25),
    )
    assert (system["role"], system["content"]) == ("system", "Be brief")
    assert (user["role"], user["content"]) == ("user", "weather?")
    expected: dict[str, Any] = {
        "id": IsUUID(5),
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "assistant",
        "tool_calls": [
            {
                "id": "call_1",
                "function": {"arguments": '{"city": "Paris"}', "name": "get_weather"},
                "type": "function",
            }
        ],
        "metrics": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "duration": 0.5},
        "created_at": 1795596892,
    }
    assert asking == expected
    assert list(asking) == list(expected)
    expected = {
        "id": IsUUID(5),
        "content": "Sunny in Paris",
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "tool",
        "tool_call_id": "call_1",
        "tool_name": "get_weather",
        "tool_args": {"city": "Paris"},
        "tool_call_error": False,
        "created_at": 1795596892,
    }
    assert result == expected
    assert list(result) == list(expected)
    assert last["metrics"]["time_to_first_token"] == 0.25


def test_ids_are_the_same_on_every_read_and_differ_within_and_between_runs() -> None:
    stored = samples.dumped(samples.prompt("a"), samples.prompt("b"))
    first, again, other = (agno_messages(run, stored, 0) for run in ("r1", "r1", "r2"))
    assert first == again
    assert len({message["id"] for message in [*first, *other]}) == 4


def test_instructions_are_shown_once_while_they_stay_the_same() -> None:
    roles = [
        message["role"]
        for message in rendered(
            samples.prompt("a", "Be brief"), samples.answer(TextPart("b")), samples.prompt("c", "Be brief")
        )
    ]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_system_prompt_stands_as_a_message_and_missing_times_are_the_runs() -> None:
    request = ModelRequest(parts=[SystemPromptPart("You are", timestamp=samples.WHEN)], instructions="Do")
    assert [(item["role"], item["content"], item["created_at"]) for item in rendered(request)] == [
        ("system", "Do", 7),
        ("system", "You are", 1795596892),
    ]


def test_history_is_marked() -> None:
    history = samples.prompt("before")
    history.metadata = {"musterd": {"from_history": True}}
    assert [item["from_history"] for item in rendered(history, samples.prompt("now"))] == [True, False]


def test_thinking_texts_and_calls_of_one_response_are_one_message() -> None:
    usage = RequestUsage(input_tokens=1, output_tokens=2, cache_read_tokens=3, output_reasoning_tokens=4)
    parts: list[ModelResponsePart] = [
        ThinkingPart("hm"),
        TextPart("a"),
        TextPart("b"),
        ToolCallPart("t", {"x": 1}, "c"),
        ToolCallPart("u"),
    ]
    (message,) = rendered(ModelResponse(parts=parts, usage=usage, timestamp=samples.WHEN))
    assert (message["content"], message["reasoning_content"]) == ("ab", "hm")
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"x":1}', "{}"]
    assert message["metrics"] == {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "cache_read_tokens": 3,
        "reasoning_tokens": 4,
    }


def test_a_response_without_anything_is_an_empty_answer() -> None:
    (message,) = rendered(ModelResponse(parts=[], timestamp=samples.WHEN))
    assert message["content"] == ""
    assert "metrics" not in message


def test_tool_results_that_went_wrong_are_errors() -> None:
    parts = [
        ToolReturnPart("t", "fine", "c1"),
        ToolReturnPart("t", "boom", "c2", outcome="failed"),
        ToolReturnPart("t", "no", "c3", outcome="denied"),
        ToolReturnPart("t", "again", "c4", outcome="retried"),
    ]
    messages = rendered(ModelRequest(parts=parts))
    assert [message["tool_call_error"] for message in messages] == [False, True, True, True]


def test_arguments_that_are_no_object_are_shown_as_none_given() -> None:
    calls = [ToolCallPart("t", "{bad", "c1"), ToolCallPart("t", "[1]", "c2"), ToolCallPart("t", None, "c3")]
    results = ModelRequest(parts=[ToolReturnPart("t", "?", call.tool_call_id) for call in calls])
    messages = rendered(ModelResponse(parts=calls), results)
    assert [message["tool_args"] for message in messages[1:]] == [{}, {}, {}]


@pytest.mark.parametrize("text", ['{"a": 1e999}', '{"a": NaN}', '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"])
def test_stored_arguments_that_have_no_json_do_not_hide_the_run(text: str) -> None:
    call = ToolCallPart("t", text, "c1")
    messages = rendered(ModelResponse(parts=[call]), ModelRequest(parts=[ToolReturnPart("t", "?", "c1")]))
    assert messages[1]["tool_args"] == {}
    jsontext.dumps(messages)


def test_a_result_that_ended_the_run_is_marked() -> None:
    messages = rendered(samples.tool_result("route", "x", "c1"), samples.tool_result("t", "y", "c2"), stopping=("c1",))
    assert [message["stop_after_tool_call"] for message in messages] == [True, False]


def test_results_that_are_objects_are_shown_as_json() -> None:
    (message,) = rendered(ModelRequest(parts=[ToolReturnPart("t", {"a": [1, "ü"]}, "c1")]))
    assert message["content"] == '{"a":[1,"ü"]}'


def test_a_prompt_with_attachments_shows_its_texts() -> None:
    content: list[UserContent] = [
        "look:",
        ImageUrl("https://example.org/a.png"),
        BinaryContent(b"x", media_type="image/png"),
        "and?",
    ]
    (message,) = rendered(ModelRequest(parts=[UserPromptPart(content)]))
    assert message["content"] == "look:\nand?"


def test_feedback_without_a_call_is_the_users_and_older_retries_are_read() -> None:
    feedback = RetryFeedbackPart(content="give JSON", retry=RetryInfo(cause="model_retry"))
    assert rendered(ModelRequest(parts=[feedback]))[0]["role"] == "user"
    old = {"part_kind": "retry-prompt", "content": "bad", "tool_name": "t", "tool_call_id": "c1"}
    (message,) = agno_messages("r", [{"kind": "request", "parts": [old]}], 7)
    assert (message["role"], message["tool_call_error"], message["created_at"]) == ("tool", True, 7)
