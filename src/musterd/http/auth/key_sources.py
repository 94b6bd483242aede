"""The sources of token verification keys: a setting, a JWKS file, or a JWKS address. Keys are cached and refreshed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import structlog
from anyio import to_thread
from yarl import URL

from musterd.core import clock
from musterd.core.errors import StartError, Unavailable
from musterd.core.loopback import is_loopback
from musterd.core.settings import Settings
from musterd.http.auth.keys import KeySet, UnusableKey, VerificationKey, from_jwks, from_text
from musterd.http_client import BoundedConnector

log = structlog.get_logger("musterd.http")

FILE_SECONDS, ADDRESS_SECONDS = 10.0, 300.0
"""How long keys are cached before they are read again."""

COOLDOWN_SECONDS = 10.0
"""Shortest time between two reads that tokens with an unknown ``kid`` cause."""

RETRY_SECONDS = 1.0
"""Shortest time between two reads while no keys have been read yet."""

FETCH_SECONDS = 5.0
LARGEST_BYTES = 1024 * 1024


class KeySource:
    """One source of keys. If it is unreachable, the cached keys are used.

    :param name: its name in the log.
    :param read: reads the keys without blocking the event loop; raises UnusableKey or OSError if that fails.
    :param keys: the keys that were read at startup, if any.
    :param cache_seconds: how long keys are cached before they are read again in the background; None for ever.
    """

    def __init__(
        self, name: str, read: Callable[[], Awaitable[KeySet]], keys: KeySet | None, cache_seconds: float | None
    ) -> None:
        self.name = name
        self._read = read
        self._keys = keys
        self._cache_seconds = cache_seconds
        self._tried_at = clock.monotonic() if keys is not None else float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def matching(self, kid: str | None, algorithm: str) -> list[VerificationKey]:
        """The keys that may have signed a token.

        :raises Unavailable: no keys could be read yet.
        """
        if self._keys is None:
            await self._read_again(RETRY_SECONDS)
        elif self._cache_seconds is not None and self._age >= self._cache_seconds:
            self.refresh()
        keys = [] if self._keys is None else self._keys.matching(kid, algorithm)
        # On an unknown kid the keys are read again: the issuer may have a new key. The cooldown keeps tokens with
        # invented names from causing a request each.
        if not keys and self._keys is not None and self._cache_seconds is not None:
            await self._read_again(COOLDOWN_SECONDS)
            keys = self._keys.matching(kid, algorithm)
        if self._keys is None:
            raise Unavailable("The keys of tokens cannot be read now; try again later.")
        return keys

    @property
    def _age(self) -> float:
        return clock.monotonic() - self._tried_at

    async def _read_again(self, cooldown_seconds: float) -> None:
        """Read the keys, or wait for a read in progress, unless the last read was too recent."""
        if self._refreshing is None and self._age >= cooldown_seconds:
            self.refresh()
        if self._refreshing is not None:
            await asyncio.shield(self._refreshing)  # other requests wait for the same read, so do not cancel it

    def refresh(self) -> None:
        """Read the keys in the background, unless a read is already in progress."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._read_keys())

    async def _read_keys(self) -> None:
        self._tried_at = clock.monotonic()  # before the read, so that the cooldown also applies after a failure
        try:
            self._keys = await self._read()
        except (UnusableKey, OSError, aiohttp.ClientError) as error:  # a timeout is an OSError
            reason = str(error) if isinstance(error, UnusableKey) else type(error).__name__
            log.warning("token keys could not be read", source=self.name, reason=reason, cached=self._keys is not None)
        finally:
            self._refreshing = None

    def close(self) -> None:
        """Cancel a read in progress."""
        if self._refreshing is not None:
            self._refreshing.cancel()


def sources_of(settings: Settings) -> Sequence[KeySource]:
    """The sources in the settings.

    :raises StartError: a source cannot be used; the message says why.
    """
    sources = []
    allowed = settings.jwt_algorithms
    if text := settings.jwt_verification_key:
        sources.append(_fixed("JWT_VERIFICATION_KEY", lambda: from_text(text, allowed)))
    if settings.jwt_jwks_file:
        sources.append(_file(Path(settings.jwt_jwks_file), allowed))
    if settings.jwt_jwks_url:
        sources.append(_address(settings.jwt_jwks_url, allowed))
    return sources


def _fixed(name: str, parse: Callable[[], KeySet]) -> KeySource:
    keys = _read_at_startup(name, parse)

    async def read() -> KeySet:
        return keys

    return KeySource(name, read, keys, None)


def _file(path: Path, allowed: Sequence[str]) -> KeySource:
    def read_now() -> KeySet:
        return from_jwks(path.read_bytes(), allowed, with_secrets=True)

    async def read() -> KeySet:
        return await to_thread.run_sync(read_now)

    return KeySource(str(path), read, _read_at_startup(f"JWT_JWKS_FILE {path}", read_now), FILE_SECONDS)


def _address(address: str, allowed: Sequence[str]) -> KeySource:
    try:
        url = URL(address)
        is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host or ""))
    except ValueError as error:
        raise StartError("MUSTERD_JWT_JWKS_URL: not a valid address — correct it") from error
    if not is_safe or not url.host:
        raise StartError("MUSTERD_JWT_JWKS_URL: must use https, or http to a loopback address — correct it")

    async def read() -> KeySet:
        return from_jwks(await _fetch(url), allowed, with_secrets=False)

    return KeySource(str(url.with_query(None).with_user(None)), read, None, ADDRESS_SECONDS)


async def _fetch(url: URL) -> bytes:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    cookies = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(
            connector=BoundedConnector(), timeout=timeout, cookie_jar=cookies, trust_env=True
        ) as session,
        # A redirect could lead to an address that is neither https nor loopback.
        session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
    ):
        if response.status != 200:
            raise UnusableKey(f"answered {response.status}")
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > LARGEST_BYTES:
                raise UnusableKey(f"is larger than {LARGEST_BYTES // 1024} KiB")
        return bytes(content)


def _read_at_startup(name: str, parse: Callable[[], KeySet]) -> KeySet:
    try:
        return parse()
    except UnusableKey as error:
        raise StartError(f"{name}: {error}") from error
    except OSError as error:
        raise StartError(f"{name}: cannot be read ({error.strerror}) — correct the path") from error
