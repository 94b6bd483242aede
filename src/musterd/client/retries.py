"""When a request is sent again.

Most requests may arrive twice: those that start something carry an ``Idempotency-Key``, and others change nothing the
second time. Their failures are retried also if it is not known whether the server has received the request. The few
that would have an effect twice are retried only if the server has surely done nothing.
"""

from __future__ import annotations

import logging

import httpx2

from . import clock
from .errors import CannotConnect, ClientError, error_of, retry_after_of
from .flows import Failure

_log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
_DOUBLINGS = 10
"""After so many, a wait has its longest time. A call that is retried without an end has no larger exponent."""

_PASSING = frozenset({429, 502, 503, 504})
_NOT_DONE = frozenset({429})
"""The answers of a server that has refused to begin. A 503 may also come from a model or proxy after the work began."""
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_LASTING = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.TooManyRedirects)


class Retries:
    """The failures of one call in a row, and how long it may go on.

    :param seconds: for how long after the first failure requests are sent again.
    :param deadline: when the call must have ended.
    :param is_repeatable: whether the request may arrive twice.
    """

    def __init__(self, seconds: float, deadline: float, *, is_repeatable: bool = True) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._may_pass = _may_pass if is_repeatable else _was_not_done
        self._count = 0
        self._failing_since: float | None = None
        self._may_be_done = False

    @property
    def may_be_done(self) -> bool:
        """Whether an earlier try may have had its effect, although it failed."""
        return self._may_be_done

    def note_answer(self) -> None:
        """The server has answered: the next failure is the first one. It is waited for as after the failures before,
        so that a server that answers and fails is not asked without a pause."""
        self._failing_since = None

    def note_progress(self) -> None:
        """A part of the answer has come, or all of it."""
        self._count, self._failing_since = 0, None

    def pause_seconds(self) -> float:
        """How long to wait until a request is sent again: longer each time, until there is progress."""
        cap = min(FIRST_WAIT_SECONDS * 2 ** min(self._count, _DOUBLINGS), LONGEST_WAIT_SECONDS)
        self._count += 1
        return clock.full_jitter(cap)

    def wait_seconds(self, outcome: httpx2.Response | Failure) -> float:
        """How long to wait until the request is sent again.

        :param outcome: an answer that says that the request failed, or the error of the network.
        :raises ClientError: the failure lasts, or there is no time left.
        """
        now = clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        pause = retry_after_of(outcome) if isinstance(outcome, httpx2.Response) else 0.0
        wait = pause + self.pause_seconds()
        if not self._may_pass(outcome) or now + wait > min(self._failing_since + self._seconds, self._deadline):
            raise self._error(outcome, now - self._failing_since)
        self._may_be_done = self._may_be_done or not _was_not_done(outcome)
        request, reason = outcome.request, outcome.status_code if isinstance(outcome, httpx2.Response) else outcome
        _log.info("%s %s failed (%s); trying again in %.1f s", request.method, request.url.path, reason, wait)
        return wait

    def _error(self, outcome: httpx2.Response | Failure, seconds: float) -> ClientError:
        if isinstance(outcome, httpx2.Response):
            return error_of(outcome)
        return CannotConnect.of(outcome.request, outcome, seconds)


def _may_pass(outcome: httpx2.Response | Failure) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(outcome, httpx2.Response):
        return outcome.status_code in _PASSING
    return not isinstance(outcome, _LASTING)


def _was_not_done(outcome: httpx2.Response | Failure) -> bool:
    """Whether the same request may succeed later, and has had no effect."""
    if isinstance(outcome, httpx2.Response):
        return outcome.status_code in _NOT_DONE
    return isinstance(outcome, _NOT_SENT)
