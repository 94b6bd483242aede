"""Time, new ids and chance: the client's own, since it is also packed alone, without the server's."""

import random
import time
import uuid


def now() -> float:
    """Unix seconds."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that only moves forward."""
    return time.monotonic()


def new_id() -> str:
    """A new random identifier."""
    return str(uuid.uuid4())


def full_jitter(seconds: float) -> float:
    """A random duration up to ``seconds``, for retries of many callers that failed at the same time."""
    return random.uniform(0, seconds)  # noqa: S311 - spreads load; not security-relevant


async def sleep(seconds: float) -> None:
    """Sleep without blocking the event loop."""
    import asyncio  # a blocking client needs none, and its import takes time

    await asyncio.sleep(seconds)


def block(seconds: float) -> None:
    """Block the calling thread."""
    time.sleep(seconds)
