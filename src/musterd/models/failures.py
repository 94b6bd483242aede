"""Explains a failed model call in a message that is safe for clients, and decides whether a retry may help.

A provider's own message is kept (``fake model error 500``), because its documentation explains it. Addresses, keys and
stack traces are removed. Every 4xx except 408 and 429, exhausted credit and unreadable answers are final.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)

MESSAGE_CHARS = 500
READ_CHARS = 4000
"""The part of a provider's message that is read."""

CALL_ERRORS: tuple[type[Exception], ...] = (
    AgentRunError,
    UserError,
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,  # TimeoutError too
    EOFError,
    LookupError,  # this and the next ones: raised while a malformed answer is read
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,  # such as one about a format of audio
    NotImplementedError,  # media that a provider's adapter does not support
    RuntimeError,
)
"""The exceptions that a model call is known to raise."""

_RETRIED_STATUS = frozenset({408, 429})
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)\]]+", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|key|ghp|AIza)[-_][\w*.-]{6,}|\bAIza[\w-]{20,}|\bBearer\s+\S+", re.IGNORECASE
)


class Stalled(TimeoutError):
    """The model sent nothing for longer than allowed."""

    def __init__(self, limit_seconds: float, *, began: bool) -> None:
        super().__init__(limit_seconds, began)
        problem = "The model's answer stalled" if began else "The model gave no answer"
        self.message = f"{problem} for {limit_seconds:g} s"


class BrokenOff(EOFError):
    """The model's answer ended before it was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed try.

    :param message: one line that is safe for clients.
    :param retryable: whether the same call may succeed later.
    :param retry_after_seconds: the wait that the provider asked for, if any.
    """

    message: str
    retryable: bool
    retry_after_seconds: float | None = None


def explain(error: BaseException) -> Failure:
    """Translate the exception of a model call."""
    if isinstance(error, ModelAPIError):
        return _explain_api(error)
    if isinstance(error, Stalled):
        return Failure(message=error.message, retryable=True)
    if isinstance(error, BrokenOff):
        return Failure(message="The model's answer was cut off", retryable=True)
    if isinstance(error, (httpx2.HTTPError, httpx2.StreamError, OSError, EOFError)):
        return Failure(message="The connection to the model's provider failed", retryable=True)
    if isinstance(error, UserError):
        return Failure(message=safe(str(error)), retryable=False)
    return Failure(message="The model's answer could not be read", retryable=False)


def safe(text: str) -> str:
    """``text`` as one line without addresses and keys, at most :data:`MESSAGE_CHARS` long.

    The result is plain text: control characters are removed, markup is not interpreted.
    """
    text = "".join(char if char.isprintable() else " " for char in text[:READ_CHARS])
    line = _KEY.sub("[key]", _ADDRESS.sub("[address]", " ".join(text.split())))
    return line if len(line) <= MESSAGE_CHARS else line[: MESSAGE_CHARS - 1] + "…"


def _explain_api(error: ModelAPIError) -> Failure:
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    if isinstance(error, ModelAuthenticationError):  # its message may quote part of the key
        return Failure(
            message=f"The model's provider rejected this server's credentials ({status or 'denied'})",
            retryable=False,
        )
    if isinstance(error, (ModelTimeoutError, ModelRequestTimeout)):
        return Failure(message="The model's provider did not answer in time", retryable=True)
    if isinstance(error, ModelConnectionError):
        return Failure(message="The connection to the model's provider failed", retryable=True)
    message = safe(_provider_message(error.body) or "")
    if not message or message.startswith("<"):  # the HTML page of a proxy or web server does not help a client
        message = f"The model's provider answered {status}" if status else "The model's provider failed"
    return Failure(
        message=message,
        retryable=_may_succeed_later(error, status),
        retry_after_seconds=error.retry_after,
    )


def _may_succeed_later(error: ModelAPIError, status: int | None) -> bool:
    if isinstance(error, ModelQuotaExceededError):
        return False
    if isinstance(error, ModelHTTPError) and error.provider_retry_hint is False:
        return False
    if status is not None:
        return status >= 500 or status in _RETRIED_STATUS
    return isinstance(error, (ModelRateLimitError, ModelUnavailableError, ModelServerError))


def _provider_message(body: object) -> str | None:
    """The message in the body of an error answer, however the provider wraps it."""
    for _ in range(3):
        if not isinstance(body, Mapping):
            break
        body = next((body[key] for key in ("error", "message", "detail") if body.get(key)), None)
    return body if isinstance(body, str) else None
