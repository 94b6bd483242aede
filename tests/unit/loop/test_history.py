"""How much of earlier runs a model is shown."""

import json

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from musterd.loop.conversation import NOTES, earlier_messages, message_text
from musterd.loop.history import chat_messages
from musterd.loop.history_limits import limit_history


def user_message(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(text)])


def answered(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def calls(*ids: str, text: str = "") -> ModelResponse:
    said = [TextPart(text)] if text else []
    return ModelResponse(parts=[*said, *(ToolCallPart("look", {}, tool_call_id=one) for one in ids)])


def results(*ids: str) -> ModelRequest:
    return ModelRequest(parts=[ToolReturnPart("look", f"result {one}", tool_call_id=one) for one in ids])


HISTORY: list[ModelMessage] = [
    user_message("one"),
    calls("a", "b", text="looking"),
    results("a", "b"),
    calls("c"),
    results("c"),
    answered("first"),
    user_message("two"),
    answered("second"),
]


def texts_of(messages: object) -> list[str]:
    assert isinstance(messages, list)
    texts = []
    for message in messages:
        for part in message.parts:
            texts.append(f"call {part.tool_call_id}" if isinstance(part, ToolCallPart) else str(part.content))
    return texts


ALL = ["one", "looking", "call a", "call b", "result a", "result b", "call c", "result c", "first", "two", "second"]


@pytest.mark.parametrize(
    "last_messages, last_calls, expected",
    [
        (None, None, ALL),
        (100, 100, ALL),
        (2, None, ["two", "second"]),
        (1, None, ["second"]),
        (0, None, []),
        (4, None, ["first", "two", "second"]),  # a result whose call is not shown goes too
        (5, None, ["call c", "result c", "first", "two", "second"]),
        (None, 2, ["one", "looking", "call b", "result b", "call c", "result c", "first", "two", "second"]),
        (None, 1, ["one", "looking", "call c", "result c", "first", "two", "second"]),
        (None, 0, ["one", "looking", "first", "two", "second"]),
        (3, 0, ["first", "two", "second"]),
    ],
)
def test_what_is_shown(last_messages: int | None, last_calls: int | None, expected: list[str]) -> None:
    before = [message_text(message) for message in HISTORY]
    assert texts_of(limit_history(HISTORY, last_messages, last_calls)) == expected
    assert [message_text(message) for message in HISTORY] == before, "the history itself is others' too"


def test_a_chat_is_what_was_said_in_the_run_itself() -> None:
    earlier = user_message("earlier")
    earlier.metadata = {NOTES: {"from_history": True}}
    final = ModelResponse(parts=[ToolCallPart("final_result", {"n": 1}, tool_call_id="x")])
    messages = [earlier, *HISTORY[:6], ModelRequest(parts=[UserPromptPart(["see", "this"])]), final]
    stored = "[" + ",".join(message_text(message) for message in messages) + "]"
    assert chat_messages(stored) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "looking"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "see\nthis"},
        {"role": "assistant", "content": json.dumps({"n": 1})},
    ]


def test_an_answer_beside_a_call_that_was_not_made_is_history() -> None:
    look, other = ToolCallPart("look", {}, tool_call_id="a"), ToolCallPart("final_result", {"n": 2}, tool_call_id="c")
    final = ModelResponse(parts=[look, ToolCallPart("final_result", {"n": 1}, tool_call_id="b"), other])
    stored = "[" + ",".join(message_text(message) for message in (user_message("one"), final)) + "]"
    assert texts_of(earlier_messages(stored)) == ["one", json.dumps({"n": 1}, separators=(",", ":"))]


def _call(call_id: str, signature: str = "") -> ToolCallPart:
    details = {"thought_signature": signature} if signature else None
    return ToolCallPart("look", {}, tool_call_id=call_id, provider_details=details)


@pytest.mark.parametrize(
    "parts, expected",
    [
        ([ThinkingPart("hm", id="rs_1"), TextPart("so", id="msg_1"), _call("a"), _call("b")], ["so"]),
        ([ThinkingPart("hm", signature="x"), _call("a"), _call("b")], []),
        ([ThinkingPart("hm", id="reasoning_content"), _call("a"), _call("b")], ["call b", "result b"]),
        ([_call("a", "signed"), _call("b")], []),
        ([_call("a"), _call("b", "signed")], ["call b", "result b"]),
    ],
)
def test_what_led_to_a_call_goes_with_it(parts: list[ModelResponsePart], expected: list[str]) -> None:
    messages: list[ModelMessage] = [
        user_message("one"),
        ModelResponse(parts=parts),
        results("a", "b"),
        answered("first"),
    ]
    shown = limit_history(messages, None, 1)
    assert texts_of([message for message in shown if message not in (messages[0], messages[-1])]) == expected
    assert all(getattr(part, "id", None) is None for message in shown for part in message.parts)
