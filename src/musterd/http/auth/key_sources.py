"""Where keys come from: read, kept, and read again, not more often than once in a while."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import structlog
from anyio import to_thread
from yarl import URL

from musterd.core import clock
from musterd.core.errors import StartError, Unavailable
from musterd.core.settings import Settings
from musterd.http.auth.keys import KeySet, UnusableKey, VerificationKey, from_jwks, from_text
from musterd.http_client import BoundedConnector

log = structlog.get_logger("musterd.http")

FILE_SECONDS, ADDRESS_SECONDS = 10.0, 300.0
"""How long what was read counts before it is read again."""

COOL_SECONDS = 10.0
"""How long a source is left alone after it was read, whatever names tokens give."""

RETRY_SECONDS = 1.0
"""The same while there is nothing to go by."""

FETCH_SECONDS = 5.0
MOST_BYTES = 1024 * 1024


class KeySource:
    """One place that keys come from. The last good ones count while it is away.

    :param name: what it is called in the log.
    :param read: reads it, off the event loop; UnusableKey or OSError: not now.
    :param kept: what was read at the start.
    :param lives_seconds: how long keys count before they are read again, in the background; None: for ever.
    """

    def __init__(
        self, name: str, read: Callable[[], Awaitable[KeySet]], kept: KeySet | None, lives_seconds: float | None
    ) -> None:
        self.name = name
        self._read = read
        self._kept = kept
        self._lives_seconds = lives_seconds
        self._tried_at = clock.monotonic() if kept is not None else float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def matching(self, kid: str | None, algorithm: str) -> list[VerificationKey]:
        """The keys that may have signed a token.

        :raises Unavailable: none could be read yet.
        """
        if self._kept is None:
            await self._read_again(RETRY_SECONDS)
        elif self._lives_seconds is not None and self._age >= self._lives_seconds:
            self.refresh()
        found = [] if self._kept is None else self._kept.matching(kid, algorithm)
        if not found and self._kept is not None and self._lives_seconds is not None:
            await self._read_again(COOL_SECONDS)
            found = self._kept.matching(kid, algorithm)
        if self._kept is None:
            raise Unavailable("The keys of tokens cannot be read now; try again later.")
        return found

    @property
    def _age(self) -> float:
        return clock.monotonic() - self._tried_at

    async def _read_again(self, cool_seconds: float) -> None:
        """Read it, or wait for whoever does already, unless that was only just done."""
        if self._reading is None and self._age >= cool_seconds:
            self.refresh()
        if self._reading is not None:
            await asyncio.shield(self._reading)

    def refresh(self) -> None:
        """Read it in the background, once for all who ask."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        self._tried_at = clock.monotonic()
        try:
            self._kept = await self._read()
        except (UnusableKey, OSError, aiohttp.ClientError) as error:  # a timeout is an OSError
            why = str(error) if isinstance(error, UnusableKey) else type(error).__name__
            log.warning("keys of tokens could not be read", source=self.name, why=why, kept=self._kept is not None)
        finally:
            self._reading = None

    def close(self) -> None:
        """Give up reading."""
        if self._reading is not None:
            self._reading.cancel()


def sources_of(settings: Settings) -> Sequence[KeySource]:
    """The sources that settings name.

    :raises StartError: one cannot be used, in words.
    """
    found = []
    allowed = settings.jwt_algorithms
    if text := settings.jwt_verification_key:
        found.append(_fixed("JWT_VERIFICATION_KEY", lambda: from_text(text, allowed)))
    if settings.jwt_jwks_file:
        found.append(_file(Path(settings.jwt_jwks_file), allowed))
    if settings.jwt_jwks_url:
        found.append(_address(settings.jwt_jwks_url, allowed))
    return found


def _fixed(name: str, parse: Callable[[], KeySet]) -> KeySource:
    kept = _first(name, parse)

    async def read() -> KeySet:
        return kept

    return KeySource(name, read, kept, None)


def _file(path: Path, allowed: Sequence[str]) -> KeySource:
    def read_now() -> KeySet:
        return from_jwks(path.read_bytes(), allowed, with_secrets=True)

    async def read() -> KeySet:
        return await to_thread.run_sync(read_now)

    return KeySource(str(path), read, _first(f"JWT_JWKS_FILE {path}", read_now), FILE_SECONDS)


def _address(address: str, allowed: Sequence[str]) -> KeySource:
    try:
        url = URL(address)
        is_safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host or ""))
    except ValueError as error:
        raise StartError("MUSTERD_JWT_JWKS_URL: is no address — correct it") from error
    if not is_safe or not url.host:
        raise StartError("MUSTERD_JWT_JWKS_URL: keys are fetched by https only, by http from loopback — correct it")

    async def read() -> KeySet:
        return from_jwks(await _fetched(url), allowed, with_secrets=False)

    return KeySource(str(url.with_query(None).with_user(None)), read, None, ADDRESS_SECONDS)


async def _fetched(url: URL) -> bytes:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    cookies = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(
            connector=BoundedConnector(), timeout=timeout, cookie_jar=cookies, trust_env=True
        ) as session,
        session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status != 200:
            raise UnusableKey(f"answered {answer.status}")
        content = bytearray()
        async for part in answer.content.iter_any():
            content += part
            if len(content) > MOST_BYTES:
                raise UnusableKey(f"is larger than {MOST_BYTES // 1024} KiB")
        return bytes(content)


def _first(name: str, parse: Callable[[], KeySet]) -> KeySet:
    try:
        return parse()
    except UnusableKey as error:
        raise StartError(f"{name}: {error}") from error
    except OSError as error:
        raise StartError(f"{name}: cannot be read ({error.strerror}) — correct the path") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
