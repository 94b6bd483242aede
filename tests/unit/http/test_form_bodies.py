"""Forms are decoded while they arrive, in pieces of any size."""

from urllib.parse import unquote_to_bytes

import pytest
from starlette.requests import Request
from starlette.types import Message

from musterd.core.errors import BadRequest
from musterd.core.settings import Settings
from musterd.http.form_bodies import read_form

URLENCODED = "application/x-www-form-urlencoded"
VALUE = b"100%+of%20a%+b%3D%25%2541%%41%4%C3%BC%4g=%%%zz%e2%82%ac%"


def request_in_pieces(body: bytes, size: int) -> Request:
    starts = iter(range(0, len(body), size))

    async def receive() -> Message:
        start = next(starts)
        return {"type": "http.request", "body": body[start : start + size], "more_body": start + size < len(body)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
async def test_a_value_does_not_depend_on_the_pieces(size: int) -> None:
    body = b"a=" + VALUE + b"&b%20c=+&d=" + VALUE
    form = await read_form(request_in_pieces(body, size), URLENCODED, Settings())
    value = unquote_to_bytes(VALUE.replace(b"+", b" ")).decode("utf-8", "surrogateescape")
    assert dict(form) == {"a": value, "b c": " ", "d": value}


@pytest.mark.parametrize("size", [1000, 1000_000])
async def test_a_value_of_percent_signs_is_rejected(size: int) -> None:
    with pytest.raises(BadRequest, match="Malformed percent-encoding"):
        await read_form(request_in_pieces(b"a=" + b"%" * 500_000, size), URLENCODED, Settings())
