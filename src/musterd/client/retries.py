"""When a request is sent again.

All requests of the client may be sent twice: those that start something carry an ``Idempotency-Key``, the others
change nothing the second time. So each failure that may pass is retried, also if it is not known whether the server
has received the request.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime

import httpx2

from musterd.client.errors import CannotConnect, ClientError, error_of
from musterd.client.flows import Failure
from musterd.core import clock

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

_PASSING = frozenset({429, 502, 503, 504})
_LASTING = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.TooManyRedirects)


class Retries:
    """The failures of one call in a row, and how long it may go on.

    :param seconds: for how long after the first failure requests are sent again.
    :param deadline: when the call must have ended.
    """

    def __init__(self, seconds: float, deadline: float) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._count = 0
        self._failing_since: float | None = None

    def note_answer(self) -> None:
        """The server has answered: the next failure is the first one. It is waited for as after the failures before,
        so that a server that answers and fails is not asked without a pause."""
        self._failing_since = None

    def note_progress(self) -> None:
        """A part of the answer has come, or all of it."""
        self._count, self._failing_since = 0, None

    def wait_seconds(self, outcome: httpx2.Response | Failure) -> float:
        """How long to wait until the request is sent again.

        :param outcome: an answer that says that the request failed, or the error of the network.
        :raises ClientError: the failure lasts, or there is no time left.
        """
        now = clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        cap = min(FIRST_WAIT_SECONDS * 2**self._count, LONGEST_WAIT_SECONDS)
        self._count += 1
        wait = _retry_after(outcome) + clock.full_jitter(cap)
        if not _may_pass(outcome) or now + wait > min(self._failing_since + self._seconds, self._deadline):
            raise self._error(outcome, now - self._failing_since)
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


def _retry_after(outcome: httpx2.Response | Failure) -> float:
    """The seconds of ``Retry-After``, which is a number or a date; 0 without one."""
    text = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx2.Response) else ""
    try:
        seconds = float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - clock.now()
    except ValueError:
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
