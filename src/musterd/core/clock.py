"""The one door to time, ids and chance.

Every other room asks here (ruff bans the originals elsewhere), so that a test can hold the clock still and a
stored value can be told from a computed one. SQL never asks the database for the time: ``:now`` is passed in.
"""

import asyncio
import random
import secrets
import time
import uuid


def now() -> float:
    """Wall-clock time in unix seconds. For people and for the wire; never compared to decide who is alive."""
    return time.time()


def monotonic() -> float:
    """Seconds of a clock that only moves forward. For durations and deadlines inside this process."""
    return time.monotonic()


def new_id() -> str:
    """A new random identifier (UUID 4, text form)."""
    return str(uuid.uuid4())


def derived_id(salt: str, path: str) -> str:
    """The identifier at ``path`` under ``salt`` (UUID 5): the same on every attempt, unguessable without the salt."""
    return str(uuid.uuid5(uuid.UUID(salt), path))


def jitter(seconds: float) -> float:
    """A random share, between half and all, of ``seconds``: retries of many callers spread out."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


async def sleep(seconds: float) -> None:
    """Wait in the event loop for ``seconds``."""
    await asyncio.sleep(seconds)


async def yield_to_others() -> None:
    """Let every other task that is ready run once."""
    await asyncio.sleep(0)


def new_secret() -> str:
    """A new unguessable text (256 bits, hexadecimal)."""
    return secrets.token_hex(32)
