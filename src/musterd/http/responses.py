"""Builds JSON responses, and error responses in AgentOS' format with their headers."""

from typing import Any

from starlette.responses import Response

from musterd.core import jsontext
from musterd.core.errors import InvalidInput, RequestError, Unauthenticated

JSON = "application/json"


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    content = jsontext.dumps(value).encode("utf-8", "replace")
    return Response(content, status_code=status, headers=headers, media_type=JSON)


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
