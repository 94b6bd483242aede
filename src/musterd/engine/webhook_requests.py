"""Posts to webhooks: one signed request, to an address that was checked, and what came of it.

Imported with the first delivery that is due: a server without webhooks does without an HTTP client.
"""

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks.webhooks import Webhook
from yarl import URL

import musterd
from musterd.core import clock
from musterd.core.deliveries import GONE, Delivery, Outcome
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import NOT_ALLOWED, Reach, host_of
from musterd.core.webhook_secrets import keys_of
from musterd.http_client import BoundedConnector, FramingTooLong

NOT_REACHED = "The address could not be reached, or webhooks may not go there"
"""One line for all that may stand between here and an address that a client named: whether a name leads inside, is
unknown or does not listen tells of the operator's network."""
SHOWN_CHARACTERS = 200
"""What is kept of an answer that is no success."""
READ_BYTES = 64 * 1024
"""What is read of an answer, so that its connection can be used again."""
TAIL_SECONDS = 0.1
"""How long the rest of an answer is awaited that was a success."""


class NotAllowed(OSError):
    """The name resolves to an address that webhooks may not go to."""


class CheckedResolver(AbstractResolver):
    """Resolves names as the system does, and refuses those that lead where webhooks may not go.

    Connections are made to what it gives, and nobody asks again: a name that changes its mind is judged anew.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(self._reach.allows(host, one["host"]) for one in found):
            raise NotAllowed(f"The name {NOT_ALLOWED}")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class WebhookRequests:
    """Posts messages. The server's own addresses may lead anywhere; what clients name has connections of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reach = Reach.of(settings.webhook_private_hosts)
        self._signers = [Webhook(key) for key in keys_of(settings.webhook_secret)]
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._tls: ssl.SSLContext | None = None

    async def post(self, delivery: Delivery, body: str) -> Outcome:
        """Send the message once."""
        is_own = delivery.url in self._settings.webhook_urls
        if not is_own and (problem := self._reach.problem(delivery.url)) is not None:
            return Outcome(error=problem, is_final=True)
        try:
            url = URL(delivery.url, encoded=True)
            if (url.host or "").lower().removesuffix(".") != host_of(urlsplit(delivery.url)):
                return Outcome(error="The URL's host can be read in two ways", is_final=True)
            session = await self._session(is_own)
            async with session.post(
                url, data=body.encode(), headers=self._headers(delivery.id, body), allow_redirects=False
            ) as answer:
                return await _outcome(answer)
        except TimeoutError:
            return Outcome(error=f"No answer within {self._settings.webhook_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error, is_own=is_own)

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _session(self, is_own: bool) -> aiohttp.ClientSession:
        if self._tls is None:
            self._tls = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        if (found := self._sessions.get(is_own)) is None:
            resolver = None if is_own else CheckedResolver(self._reach)
            connector = BoundedConnector(limit=0, ssl=self._tls, use_dns_cache=False, resolver=resolver)
            found = self._sessions[is_own] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._settings.webhook_seconds),
                auto_decompress=False,
                headers={"User-Agent": f"musterd/{musterd.__version__}"},
            )
        return found

    def _headers(self, message_id: str, body: str) -> dict[str, str]:
        at = datetime.fromtimestamp(int(clock.now()), UTC)
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, at, body) for signer in self._signers),
        }


async def _outcome(answer: aiohttp.ClientResponse) -> Outcome:
    if 200 <= answer.status < 300:  # what it says beside does not matter: it is read for the connection's sake
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(TAIL_SECONDS):
                await answer.content.read(READ_BYTES)
        return Outcome(status=answer.status)
    said = await answer.content.read(READ_BYTES)
    words = _line(said.decode("utf-8", "replace")) or (answer.reason or "")
    if 300 <= answer.status < 400:
        words = "redirects are not followed"
    return Outcome(
        status=answer.status,
        error=_line(f"{answer.status}: {words}"),
        retry_after_seconds=_retry_after(answer.headers.get("Retry-After")),
        is_final=answer.status == GONE,
    )


def _failure(error: Exception, *, is_own: bool) -> Outcome:
    """What a try without an answer came to.

    It is tried again in any case: whether a name may be told could be read from that, too, and it may change its mind.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return Outcome(error="The connection is not secure: the certificate, or the version of TLS, is not accepted")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = _not_reached(error)
        return Outcome(error=reason if is_own else NOT_REACHED, reason=reason)
    if isinstance(error, aiohttp.ClientResponseError):
        return Outcome(error="The answer is no HTTP")
    if isinstance(error, FramingTooLong):
        return Outcome(error=str(error))
    return Outcome(error="The connection was lost before the answer")


def _not_reached(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error.os_error, NotAllowed):
        return str(error.os_error)
    is_unknown = isinstance(error, aiohttp.ClientConnectorDNSError)
    return "The name could not be resolved" if is_unknown else "No connection could be made"


def _retry_after(text: str | None) -> float | None:
    """The seconds that ``Retry-After`` asks to wait, be it a number or a date."""
    if text is None:
        return None
    if text.strip().isdecimal() and text.isascii():
        return float(text.strip()[:12])
    try:
        return max(parsedate_to_datetime(text).timestamp() - clock.now(), 0.0)
    except (ValueError, TypeError):
        return None


def _line(text: str) -> str:
    """The beginning of a text as one printable line."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())
    return words if len(words) <= SHOWN_CHARACTERS else words[: SHOWN_CHARACTERS - 1] + "…"
