"""Bodies of JSON, read within the limit that a form's field has."""

from typing import Any

from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import BadRequest, InvalidInput
from musterd.core.settings import Settings


async def read_json(request: Request, settings: Settings) -> Any:
    """The value of the body.

    :raises InvalidInput: it is not JSON.
    :raises BadRequest: it is too long.
    """
    body = await request.body()
    if len(body) > settings.field_bytes:
        raise BadRequest(f"Field exceeded maximum size of {settings.field_bytes // 1024}KB.")
    try:
        return jsontext.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body",), "json_invalid", "The body is not JSON") from error
