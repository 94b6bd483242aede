"""Bodies of JSON: long ones are not parsed on the event loop, and those with very many values not at all."""

import json
import threading
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from musterd.core import jsontext
from musterd.core.errors import BadRequest
from musterd.core.settings import Settings
from musterd.http import json_bodies

IMAGE = {"content": "a" * 2_000_000, "mime_type": "image/png"}


def request_with(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which bodies were parsed."""
    names, loads = list[str](), jsontext.loads

    def noting_loads(text: str | bytes) -> Any:
        names.append(threading.current_thread().name)
        return loads(text)

    monkeypatch.setattr(jsontext, "loads", noting_loads)
    return names


async def test_a_long_body_is_parsed_in_a_thread(threads: list[str]) -> None:
    value = {"message": "hello", "images": [IMAGE]}
    body = json.dumps(value).encode()
    assert await json_bodies.read_json(request_with(body), Settings(), takes_media=True) == value
    assert await json_bodies.read_json(request_with(b"[1]"), Settings()) == [1]
    assert [name == threading.main_thread().name for name in threads] == [False, True]


async def test_a_long_body_of_very_many_values_is_refused_unread(threads: list[str]) -> None:
    body = json.dumps({"message": "hello", "images": [], "metadata": {"a": [0.5] * 500_000}}).encode()
    with pytest.raises(BadRequest):
        await json_bodies.read_json(request_with(body), Settings(), takes_media=True)
    assert threads == []
