"""Errors of the client, in one tree.

    ClientError
    ├── CannotConnect         no answer: the server is not there, or the connection broke
    ├── AnswerError           the server refused the request
    │   ├── Unauthorized      401
    │   ├── Forbidden         403
    │   ├── NotFound          404
    │   ├── Conflict          409
    │   ├── InvalidInput      400, 405, 413 to 415, 422, 431, with the fields that are wrong
    │   ├── TooManyRequests   429
    │   └── ServerError       5xx
    └── NotCompleted          a run did not complete
        ├── RunFailed         it ended in ERROR
        ├── RunCancelled
        ├── RunPaused         it waits for a person
        └── StillRunning      it was at work when the time to wait was over

Messages name the request and the server's sentence, and never a token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx2

    from musterd.client.runs import Run

_REMEDIES = {
    401: "Give Client(token=…) the server's key or a token, or set MUSTERD_TOKEN.",
    403: "The token lacks a scope; /docs of the server names it at the operation.",
}


class ClientError(Exception):
    """A call of the client failed."""


class CannotConnect(ClientError):
    """The server did not answer: nothing listens there, or the connection broke, and retries did not help."""

    def __init__(self, request: httpx2.Request, cause: Exception, seconds: float) -> None:
        reason = str(cause) or type(cause).__name__
        tried = f" (tried for {seconds:.0f} s)" if seconds >= 1 else ""
        super().__init__(
            f"{_origin(request)} does not answer {request.method} {_path(request)}: {reason}{tried}. "
            "Is the server up, and is this its URL?"
        )


class AnswerError(ClientError):
    """The server refused the request.

    :param status: the HTTP status.
    :param code: the server's ``error_code``, such as ``NOT_FOUND``; see the page "Errors".
    :param detail: the server's sentence.
    :param request_id: names the request in the server's log.
    """

    def __init__(self, answer: httpx2.Response) -> None:
        body = _object(answer)
        self.status = answer.status_code
        self.detail = str(body.get("detail") or answer.reason_phrase or "no reason")
        self.code = str(body.get("error_code") or "")
        self.request_id = str(body.get("request_id") or answer.headers.get("x-request-id") or "")
        request = answer.request
        words = [f"{request.method} {_origin(request)}{_path(request)} was answered {self.status}: {self.detail}"]
        if remedy := _REMEDIES.get(self.status):
            words.append(remedy)
        if self.request_id:
            words.append(f"[request {self.request_id}]")
        super().__init__(" ".join(words))


class Unauthorized(AnswerError):
    """The token is missing, wrong or expired."""


class Forbidden(AnswerError):
    """The token lacks the scope."""


class NotFound(AnswerError):
    """There is no such thing, or this token may not see it."""


class Conflict(AnswerError):
    """The request does not fit the state of what it names, such as a decision about a run that has finished."""


class InvalidInput(AnswerError):
    """A value of the request is wrong.

    :param fields: the message for each field that is wrong, by its place, such as ``{"budget.tokens": "…"}``.
    """

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__(answer)
        errors: Sequence[dict[str, Any]] = _object(answer).get("errors") or ()
        self.fields = {".".join(map(str, error["loc"][1:])): str(error["msg"]) for error in errors}


class TooManyRequests(AnswerError):
    """The server accepts no more requests or runs of this caller for now, and retries did not help."""


class ServerError(AnswerError):
    """The server, or a proxy before it, failed."""


class NotCompleted(ClientError):
    """A run did not complete.

    :param run: the run as it was last read.
    """

    def __init__(self, run: Run, words: str) -> None:
        super().__init__(f"run {run.run_id} of {run.component_id or run.component_kind or 'a component'} {words}")
        self.run = run


class RunFailed(NotCompleted):
    """A run ended in ERROR. ``run.error`` has the code, and whether the same run may succeed another time."""


class RunCancelled(NotCompleted):
    """A run was cancelled."""


class RunPaused(NotCompleted):
    """A run waits for a person: see ``run.requirements``."""


class StillRunning(NotCompleted):
    """A run had not finished when the time to wait for it was over. It goes on."""


_BY_STATUS: dict[int, type[AnswerError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def error_of(answer: httpx2.Response) -> AnswerError:
    """The error that an answer stands for.

    :param answer: one that does not say that the request succeeded; its body was read.
    """
    kind = _BY_STATUS.get(answer.status_code)
    if kind is None:
        kind = InvalidInput if 400 <= answer.status_code < 500 else ServerError
    return kind(answer)


def _object(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty if it has none, as the page of a proxy."""
    try:
        body = json.loads(answer.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _origin(request: httpx2.Request) -> str:
    """Where a request went, without credentials in the URL."""
    url = request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _path(request: httpx2.Request) -> str:
    """The path of a request, without its query."""
    return request.url.raw_path.partition(b"?")[0].decode("ascii")
