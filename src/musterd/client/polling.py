"""How something is read again and again until it has settled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeVar

from . import clock
from .flows import Sleep

if TYPE_CHECKING:
    from collections.abc import Callable

    from .flows import Flow

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
POLL_SECONDS = 30.0
"""How long a poll has the server wait. Proxies commonly close what is silent for a minute."""


class Poll(Protocol[T_co]):
    """Reads something, for which the server waits some seconds until it has settled."""

    def __call__(self, seconds: float, deadline: float) -> Flow[T_co]:
        """Read it.

        :param deadline: when a call that fails is not retried.
        """


def poll(read: Poll[T], is_settled: Callable[[T], bool], wait_seconds: float | None) -> Flow[T]:
    """Read something until it has settled.

    :param wait_seconds: for how long at most; then it is returned as it is.
    """
    deadline = clock.monotonic() + (math.inf if wait_seconds is None else wait_seconds)
    pause = FIRST_PAUSE_SECONDS
    while True:
        polled_at = clock.monotonic()
        seconds = max(min(POLL_SECONDS, deadline - polled_at), 0)
        value = yield from read(seconds, deadline)
        now = clock.monotonic()
        if is_settled(value) or now >= deadline:
            return value
        if now - polled_at >= seconds / 2:
            pause = FIRST_PAUSE_SECONDS
            continue
        # The server has not waited: it is stopping, or the run waits for a person.
        yield Sleep(min(clock.full_jitter(pause), deadline - now))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
