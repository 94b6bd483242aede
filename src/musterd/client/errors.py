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
import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

import httpx2

from . import clock

if TYPE_CHECKING:
    from .runs import Run

_REMEDIES = {
    401: "Give Client(token=…) the server's key or a token, or set MUSTERD_TOKEN.",
    403: "If the token lacks a scope: /docs of the server names it at the operation.",
}


class ClientError(Exception):
    """A call of the client failed."""


class CannotConnect(ClientError):
    """The server did not answer: nothing listens there, or the connection broke, and retries did not help.

    :param reason: what the network said.
    """

    reason: str

    @classmethod
    def of(cls, request: httpx2.Request, cause: Exception, seconds: float) -> Self:
        """The error for a request.

        :param seconds: for how long it was sent again.
        """
        # The text of such an error repeats a header that cannot be sent, and so the token.
        is_unsendable = isinstance(cause, httpx2.LocalProtocolError)
        reason = "the request is not valid HTTP" if is_unsendable else str(cause) or type(cause).__name__
        tried = f" (tried for {seconds:.0f} s)" if seconds >= 1 else ""
        error = cls(
            f"{_origin(request)} does not answer {request.method} {_path(request)}: {reason}{tried}. "
            "Is the server up, and is this its URL?"
        )
        error.reason = reason
        error.__cause__ = None if is_unsendable else cause
        return error


class AnswerError(ClientError):
    """The server refused the request.

    :param status: the HTTP status.
    :param code: the server's ``error_code``, such as ``NOT_FOUND``; see the page "Errors".
    :param detail: the server's sentence.
    :param request_id: names the request in the server's log.
    :param retry_after: the seconds after which the server invites to try again; 0 if it does not say.
    """

    status: int
    code: str
    detail: str
    request_id: str
    retry_after: float

    @classmethod
    def of(cls, answer: httpx2.Response, detail: str | None = None) -> Self:
        """The error for an answer.

        :param detail: in place of the server's sentence.
        """
        body, request = _object(answer), answer.request
        problems = _problems(body)
        stated = "; ".join(f"{name}: {words}" for name, words in problems) if _is_list(body) else body.get("detail")
        detail = detail or str(stated or _detail(answer))
        request_id = str(body.get("request_id") or answer.headers.get("x-request-id") or "")
        words = f"{request.method} {_origin(request)}{_path(request)} was answered {answer.status_code}: {detail}"
        remedy, reference = _REMEDIES.get(answer.status_code), request_id and f"[request {request_id}]"
        error = cls(" ".join(filter(None, (words, remedy, reference))))
        error.status, error.detail, error.request_id = answer.status_code, detail, request_id
        error.code, error.retry_after = str(body.get("error_code") or ""), retry_after_of(answer)
        return error


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

    fields: dict[str, str]

    @classmethod
    def of(cls, answer: httpx2.Response, detail: str | None = None) -> Self:
        """The error for an answer."""
        error = super().of(answer, detail)
        error.fields = dict(_problems(_object(answer)))
        return error


class TooManyRequests(AnswerError):
    """The server accepts no more requests or runs of this caller for now, and retries did not help."""


class ServerError(AnswerError):
    """The server, or a proxy before it, failed."""


class NotCompleted(ClientError):
    """A run did not complete.

    :param run: the run as it was last read.
    """

    run: Run

    @classmethod
    def of(cls, run: Run, words: str) -> Self:
        """The error for a run.

        :param words: what became of it.
        """
        component = f" of {run.component_id}" if run.component_id else ""
        error = cls(f"run {run.run_id}{component} {words}")
        error.run = run
        return error


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


def error_of(answer: httpx2.Response, detail: str | None = None) -> AnswerError:
    """The error that an answer stands for.

    :param answer: one that is of no use; its body was read.
    :param detail: why, if the server did not say that the request failed.
    """
    kind = _BY_STATUS.get(answer.status_code)
    if kind is None:
        kind = InvalidInput if 400 <= answer.status_code < 500 else ServerError
    return kind.of(answer, detail)


def retry_after_of(answer: httpx2.Response) -> float:
    """The seconds of ``Retry-After``, which is a number or a date; 0 without one."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - clock.now()
    except (ValueError, OverflowError):  # the latter for a zone of millions of hours
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _detail(answer: httpx2.Response) -> str:
    """Why a request failed, if the answer is none of a musterd server."""
    if "location" in answer.headers:
        return f"The server redirects to {answer.headers['location']}."
    return answer.reason_phrase or "No reason."


def _is_list(body: dict[str, Any]) -> bool:
    """Whether an answer has a list in place of the sentence, as FastAPI's answers about invalid input."""
    return isinstance(body.get("detail"), list)


def _problems(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields that an answer calls wrong, with what is wrong."""
    entries = body["detail"] if _is_list(body) else body.get("errors") or ()
    return [
        (".".join(map(str, entry["loc"][1:])), str(entry["msg"]))
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("loc"), list) and "msg" in entry
    ]


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
