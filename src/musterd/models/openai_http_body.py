"""Encodes the JSON body of a chat completion request: the same value that the SDK sends, without its typed
transformation."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, cast

import pydantic
from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter
from openai import NotGiven, Omit

_ABSENT = (NotGiven, Omit)


class _AbsentInside(Exception):
    """A value that must be left out occurs below the top level."""


def _plain(value: Any) -> Any:
    """A value that JSON does not know, converted as the SDK converts it."""
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(exclude_unset=True, mode="json")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _ABSENT):
        raise _AbsentInside
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


class RequestPayload(Payload):
    """A request's body that is freed after it is sent.

    A run waits a long time for its model and already holds its history once. If the provider redirects the request, the
    body is encoded again.

    :raises TypeError: a value has no JSON form.
    :raises ValueError: a number is not finite.
    """

    _autoclose = True

    def __init__(self, parameters: Mapping[str, Any], extra: object) -> None:
        self._body = body_of(parameters, extra)
        encoded = encode(self._body)
        super().__init__(encoded, content_type="application/json")
        self._size = len(encoded)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._bytes().decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the first ``content_length`` bytes of the body. None sends all of it."""
        encoded, self._value = self._bytes(), None
        await writer.write(encoded if content_length is None else encoded[:content_length])

    def _bytes(self) -> bytes:
        return encode(self._body) if self._value is None else self._value


def body_of(parameters: Mapping[str, Any], extra: object) -> dict[str, Any]:
    """The request's body: the ``parameters`` that are set, updated with ``extra``."""
    body = {key: value for key, value in parameters.items() if not isinstance(value, _ABSENT)}
    if extra is not None:
        body.update(cast(Mapping[str, Any], extra))
        body = {key: value for key, value in body.items() if not isinstance(value, _ABSENT)}
    return body


def encode(body: dict[str, Any]) -> bytes:
    """The JSON text of a request's body.

    :raises TypeError: a value has no JSON form.
    :raises ValueError: a number is not finite.
    """
    try:
        return _encoder.encode(body).encode()
    except _AbsentInside:
        return _encoder.encode(_without_absent(body)).encode()


def _without_absent(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_absent(item) for key, item in value.items() if not isinstance(item, _ABSENT)}
    if isinstance(value, (list, tuple)):
        return [_without_absent(item) for item in value if not isinstance(item, _ABSENT)]
    return value
