"""Fetches the contents that are named by a URL. It may lead where webhooks may lead; each redirect is checked.

The HTTP client is imported when the first URL is fetched.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import musterd
from musterd.core.jsontext import storable
from musterd.core.webhook_addresses import Reach, host_of
from musterd.knowledge.problems import KnowledgeProblem

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

FETCH_SECONDS = 60.0
"""How long a content may take, with all redirects."""
MAX_REDIRECTS = 5
PIECE_BYTES = 64 * 1024
NOT_REACHED = "The address is unreachable or not allowed."
"""One message for every reason, because the reason would reveal the operator's network."""


class FetchFailed(KnowledgeProblem):
    """The URL has led to no content."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a URL led to."""

    content: bytes
    media_type: str | None


class Fetcher:
    """Fetches URLs of clients.

    :param reach: where they may lead.
    :param limit: the most bytes of a content.
    """

    def __init__(self, reach: Reach, limit: int) -> None:
        self._reach = reach
        self._limit = limit

    async def fetch(self, url: str) -> Page:
        """What the URL leads to.

        :raises FetchFailed: it leads to nothing that can be read, or to an address that is not allowed.
        """
        import aiohttp

        try:
            async with asyncio.timeout(FETCH_SECONDS), await self._session() as session:
                return await self._follow(session, url)
        except TimeoutError as error:
            raise FetchFailed(f"The URL did not answer within {FETCH_SECONDS:g} s.") from error
        except aiohttp.ClientConnectorError as error:
            raise FetchFailed(NOT_REACHED) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed("The URL's answer could not be read.") from error

    async def _session(self) -> "aiohttp.ClientSession":
        import aiohttp

        from musterd.http_client import BoundedConnector, CheckedResolver

        # In a thread, because it reads and parses the system's certificates.
        tls = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        return aiohttp.ClientSession(
            connector=BoundedConnector(ssl=tls, use_dns_cache=False, resolver=CheckedResolver(self._reach)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"musterd/{musterd.__version__}"},
        )

    async def _follow(self, session: "aiohttp.ClientSession", url: str) -> Page:
        for _ in range(MAX_REDIRECTS + 1):
            # Redirects are followed here, because their target may be an address, which no resolver checks.
            async with session.get(self._checked(url), allow_redirects=False) as answer:
                if answer.status not in (301, 302, 303, 307, 308):
                    return await self._page(answer)
                url = urljoin(url, answer.headers.get("Location", ""))
        raise FetchFailed(f"The URL leads to more than {MAX_REDIRECTS} redirects.")

    def _checked(self, url: str) -> "URL":
        from yarl import URL

        if (problem := self._reach.problem(url)) is not None:
            raise FetchFailed(f"{problem}.")
        parsed = URL(url, encoded=True)
        # The check reads the URL with urllib, the connection uses yarl. If they differ, the wrong host was checked.
        if (parsed.host or "").lower().removesuffix(".") != host_of(urlsplit(url)):
            raise FetchFailed("The URL's host is ambiguous.")
        return parsed

    async def _page(self, answer: "aiohttp.ClientResponse") -> Page:
        if answer.status != 200:
            raise FetchFailed(f"The URL answers with status {answer.status}.")
        content = bytearray()
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            content += piece
            if len(content) > self._limit:
                raise FetchFailed(f"The URL's answer is larger than {self._limit // 1024} KiB.")
        charset = f"; charset={answer.charset}" if answer.charset else ""
        return Page(bytes(content), storable(f"{answer.content_type}{charset}"))
