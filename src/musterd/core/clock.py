"""The only source of time, new ids and randomness.

Ruff bans the standard functions in all other modules, so tests can freeze the clock. SQL never reads the database's
clock: statements take the time as ``:now``.
"""

import asyncio
import random
import secrets
import time
import uuid

SLICE_SECONDS = 0.01
"""How long work on the event loop may go on before other tasks run."""


def now() -> float:
    """Wall-clock time in unix seconds, for display and the API. Never used to decide whether a worker is alive."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that only moves forward, for durations and deadlines inside this process."""
    return time.monotonic()


def thread_seconds() -> float:
    """Seconds of processor time that this thread has used. Other threads on a busy machine do not add to it."""
    return time.thread_time()


def new_id() -> str:
    """A new random identifier (a UUID 4 as text)."""
    return str(uuid.uuid4())


def derived_id(salt: str, path: str) -> str:
    """The identifier for ``path`` (a UUID 5): the same in every attempt, and unguessable without ``salt``."""
    return str(uuid.uuid5(uuid.UUID(salt), path))


def jitter(seconds: float) -> float:
    """A random duration between half of ``seconds`` and all of it, so that retries of many callers spread out."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load; not security-relevant


def full_jitter(seconds: float) -> float:
    """A random duration up to ``seconds``, for retries of many callers that failed at the same time."""
    return random.uniform(0, seconds)  # noqa: S311 - spreads load; not security-relevant


async def sleep(seconds: float) -> None:
    """Sleep for ``seconds`` without blocking the event loop."""
    await asyncio.sleep(seconds)


def block(seconds: float) -> None:
    """Block the calling thread for ``seconds``. Never on the thread of an event loop."""
    time.sleep(seconds)


async def yield_to_others() -> None:
    """Let every other ready task run once."""
    await asyncio.sleep(0)


class TimeSlice:
    """Lets other tasks run between the steps of work that has its data at hand and so waits for nothing.

    Without it, the work of a server or program that sends without a pause would keep the event loop.
    """

    __slots__ = ("_began_at",)

    def __init__(self) -> None:
        self._began_at = monotonic()

    def begin(self) -> None:
        """Begin a new slice, because other tasks have just run."""
        self._began_at = monotonic()

    async def pause_if_over(self) -> None:
        """Let every other ready task run once if the slice is over, and begin the next one."""
        if monotonic() - self._began_at > SLICE_SECONDS:
            await yield_to_others()
            self._began_at = monotonic()


def new_secret() -> str:
    """A new unguessable string (256 bits, hexadecimal)."""
    return secrets.token_hex(32)
