"""Bodies of JSON."""

from typing import Any

from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import InvalidInput


async def json_body(request: Request) -> Any:
    """The JSON value that the request carries.

    :raises InvalidInput: it is no JSON.
    """
    try:
        return jsontext.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body",), "json_invalid", "The body is not JSON") from error
