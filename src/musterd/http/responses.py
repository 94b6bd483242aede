"""Answers as bytes: JSON, errors in the peer's form, and what headers they carry."""

from typing import Any

from starlette.responses import Response

from musterd.core import jsontext
from musterd.core.errors import InvalidInput, RequestError, Unauthenticated

JSON = "application/json"


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    content = jsontext.dumps(value).encode("utf-8", "replace")
    return Response(content, status_code=status, headers=headers, media_type=JSON)


def error_answer(error: RequestError, request_id: str, more: dict[str, Any] | None = None) -> Response:
    """An error in the peer's form, with the id under which the log has it.

    :param more: what its answer holds beside that.
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
