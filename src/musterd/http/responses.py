"""Builds JSON responses, and error responses in AgentOS' format with their headers."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from musterd.core import clock, jsontext, long_json
from musterd.core.errors import InvalidInput, RequestError, Unauthenticated
from musterd.core.records import RunView
from musterd.core.threads import in_thread

JSON = "application/json"


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(jsontext.dumps(value).encode(), status_code=status, headers=headers, media_type=JSON)


async def answer_of(value: Any) -> Response:
    """A JSON response. While a long one is written, other requests are answered."""
    return answer_in_pieces(await json_pieces(value), {})


async def json_pieces(value: Any) -> list[bytes]:
    """The JSON of a value in UTF-8: one piece, or several if it is long. Those are written in another thread."""
    if long_json.characters_of(value) <= long_json.LONG_BYTES:
        return [jsontext.dumps(value).encode()]
    return await in_thread(long_json.pieces, value)


async def answer_with_runs(
    render: Callable[[], Any], views: Sequence[RunView], headers: dict[str, str] | None = None
) -> Response:
    """A JSON response with the outputs of runs, which may be long: then other requests are answered meanwhile.

    :param render: returns the value of the response. It is called in another thread if the runs are long.
    :param views: the runs that it shows.
    """
    if sum(view.characters for view in views) <= long_json.LONG_BYTES:
        return json_answer(render(), headers=headers)
    return answer_in_pieces(await in_thread(lambda: long_json.pieces(render())), headers or {})


def answer_in_pieces(pieces: list[bytes], headers: dict[str, str]) -> Response:
    """A JSON response whose text is sent piece by piece."""
    if len(pieces) == 1:
        return Response(pieces[0], headers=headers, media_type=JSON)
    length = {"Content-Length": str(sum(map(len, pieces)))}
    return StreamingResponse(_sent(pieces), headers={**headers, **length}, media_type=JSON)


async def _sent(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await clock.yield_to_others()


def error_answer(error: RequestError, request_id: str, more: dict[str, Any] | None = None) -> Response:
    """An error response in AgentOS' format, with the request id under which the error is logged.

    :param more: further members of the response.
    """
    body: dict[str, Any] = {"detail": error.message, "error_code": error.code, "request_id": request_id, **(more or {})}
    if isinstance(error, InvalidInput):
        body["errors"] = error.errors
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return json_answer(body, error.status, headers)
