"""A model's answer as it is stored, and read again by a later attempt."""

import subprocess
import sys

import pytest
from pydantic_ai.messages import (
    BinaryImage,
    FilePart,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.usage import RequestUsage

from musterd.core.media import content_hash
from musterd.loop.conversation import message_text, parse_response
from musterd.loop.stored_media import with_contents

PIXEL = b"\xff\x00"


def test_it_is_read_as_it_was() -> None:
    answer = ModelResponse(
        parts=[
            ThinkingPart("hm", signature="s"),
            TextPart("Hello"),
            ToolCallPart("look_up", {"city": "Oslo"}, tool_call_id="c1"),
            FilePart(BinaryImage(PIXEL, media_type="image/png", identifier="pixel")),
        ],
        usage=RequestUsage(input_tokens=3, output_tokens=4),
        metadata={"musterd": {"seconds": 0.5}},
    )
    response = with_contents(parse_response(message_text(answer)), {content_hash(PIXEL): PIXEL})
    assert response == answer


def test_a_request_is_none() -> None:
    with pytest.raises(ValueError, match="kind"):
        parse_response(message_text(ModelRequest.user_text_prompt("Hello")))


def test_what_is_taken_up_waits_for_no_more_than_answers_need() -> None:
    code = (
        "from pydantic_ai.messages import ModelMessagesTypeAdapter as every;"
        "from musterd.loop.conversation import parse_response;"
        """parse_response('{"kind": "response", "parts": []}');"""
        "print(every.pydantic_complete)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
