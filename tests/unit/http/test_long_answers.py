"""Long JSON answers: other requests are answered while they are written, and they read the same."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock, long_json
from musterd.http.entity_tags import tagged_answer
from musterd.http.responses import answer_of

SHORT = {"data": ["short"]}
LONG = {"data": ["x" * 1000] * (2 * long_json.LONG_BYTES // 1000)}


async def body_of(answer: Response) -> bytes:
    """The body that the answer sends."""
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    await answer({"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert dict(sent[0]["headers"])[b"content-type"] == b"application/json"
    body = b"".join(message.get("body", b"") for message in sent)
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
    return body


def request(**headers: str) -> Request:
    return Request(
        {
            "type": "http",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
    )


@pytest.mark.parametrize(("value", "is_at_once"), [(SHORT, True), (LONG, False)])
async def test_a_long_answer_is_written_beside_others(value: Any, is_at_once: bool) -> None:
    writing = asyncio.ensure_future(answer_of(value))
    await clock.yield_to_others()
    assert writing.done() == is_at_once
    assert json.loads(await body_of(await writing)) == value


@pytest.mark.parametrize(("value", "is_at_once"), [(SHORT, True), (LONG, False)])
async def test_so_is_one_with_a_tag(value: Any, is_at_once: bool) -> None:
    writing = asyncio.ensure_future(tagged_answer(request(), value))
    await clock.yield_to_others()
    assert writing.done() == is_at_once
    answer = await writing
    assert json.loads(await body_of(answer)) == value
    again = await tagged_answer(request(if_none_match=answer.headers["etag"]), value)
    assert again.status_code == 304
