"""Bodies of JSON, read within the limits that a form's fields have."""

from typing import Any

from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import BadRequest, InvalidInput
from musterd.core.media import MEDIA_NAMES
from musterd.core.settings import Settings
from musterd.core.threads import in_thread

SHORT_BYTES = 64 * 1024
"""Longer bodies are parsed in a thread: a MiB of numbers takes a quarter of a second."""
MAX_VALUES = 100_000
"""The most values in a body that may be longer than a field because it contains media."""


async def read_json(request: Request, settings: Settings, *, takes_media: bool = False) -> Any:
    """The value of the body.

    :param takes_media: whether the contents of media may stand in it: they count against the body's limit, all else
        together against a field's.
    :raises InvalidInput: it is not JSON.
    :raises BadRequest: it is too long, or has too many parts.
    """
    body = b"".join([piece async for piece in request.stream()])
    if len(body) > settings.field_bytes and not (takes_media and _may_have_media(body)):
        raise _too_long(settings)
    try:
        value = await in_thread(jsontext.loads, body) if len(body) > SHORT_BYTES else jsontext.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body",), "json_invalid", "The body is not JSON") from error
    if takes_media and isinstance(value, dict) and len(body) - _media_bytes(value) > settings.field_bytes:
        raise _too_long(settings)
    return value


async def read_object(
    request: Request, settings: Settings, *, may_be_empty: bool = False, takes_media: bool = False
) -> dict[str, Any]:
    """The JSON object in the body, whatever its content type is.

    :param may_be_empty: whether an empty body counts as an empty object.
    :param takes_media: see :func:`read_json`.
    :raises InvalidInput: the body is not a JSON object.
    :raises BadRequest: it is too long.
    """
    if may_be_empty and not await request.body():
        return {}
    body = await read_json(request, settings, takes_media=takes_media)
    if not isinstance(body, dict):
        raise InvalidInput.at(("body",), "dict_type", "Input should be a JSON object")
    return body


def _may_have_media(body: bytes) -> bool:
    """Whether a long body may be one of media: asked before it is read, since many small values take much memory."""
    is_named = any(f'"{name}"'.encode() in body for name in MEDIA_NAMES)
    return is_named and jsontext.max_values(body) <= MAX_VALUES


def _too_long(settings: Settings) -> BadRequest:
    return BadRequest(f"Field exceeded maximum size of {settings.field_bytes // 1024}KB.")


def _media_bytes(fields: dict[str, Any]) -> int:
    return sum(
        len(item["content"])
        for name in MEDIA_NAMES
        for item in _items(fields.get(name))
        if isinstance(item, dict) and isinstance(item.get("content"), str)
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [{"content": value}]
