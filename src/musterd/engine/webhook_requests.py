"""Sends webhooks: one signed POST to a checked address, and its outcome.

Imported with the first delivery that is due, so a server without webhooks needs no HTTP client.
"""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks.webhooks import Webhook
from yarl import URL

import musterd
from musterd.core import clock
from musterd.core.deliveries import GONE, Delivery, Outcome
from musterd.core.settings import Settings
from musterd.core.webhook_addresses import Reach, host_of
from musterd.core.webhook_secrets import keys_of
from musterd.http_client import BoundedConnector, CheckedResolver, FramingTooLong, NotAllowed

NOT_REACHED = "The address is unreachable or not allowed for webhooks"
"""One message for every reason why an address that a client named was not reached. The reason itself would reveal the
operator's network: whether a name resolves to an internal address, does not exist, or does not listen."""
KEPT_CHARACTERS = 200
"""How much of an unsuccessful answer is kept."""
READ_BYTES = 64 * 1024
"""How much of an answer is read, so that its connection can be used again."""
TAIL_SECONDS = 0.1
"""How long to wait for the rest of a successful answer."""


class WebhookRequests:
    """Sends messages. The server's own URLs may lead anywhere; URLs from clients have connections of their own."""

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
            # The check above reads the URL with urllib, the connection uses yarl. If they differ, the wrong host was
            # checked.
            if (url.host or "").lower().removesuffix(".") != host_of(urlsplit(delivery.url)):
                return Outcome(error="The URL's host is ambiguous", is_final=True)
            session = await self._session(is_own)
            # No redirects: their target may be an address literal, which no resolver checks.
            async with session.post(
                url, data=body.encode(), headers=self._headers(delivery.id, body), allow_redirects=False
            ) as answer:
                return await _outcome(answer)
        except TimeoutError:
            return Outcome(error=f"No response within {self._settings.webhook_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error, is_own=is_own)

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _session(self, is_own: bool) -> aiohttp.ClientSession:
        # In a thread, because it reads and parses the system's certificates.
        if self._tls is None:
            self._tls = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        # After the await above, because another delivery may have made the session meanwhile. Two sessions, so that a
        # client's URL never gets a pooled connection whose address was not checked.
        if (session := self._sessions.get(is_own)) is None:
            resolver = None if is_own else CheckedResolver(self._reach)
            # No limit here: Webhooks bounds how many requests are open, in all and for each host.
            connector = BoundedConnector(limit=0, ssl=self._tls, use_dns_cache=False, resolver=resolver)
            session = self._sessions[is_own] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._settings.webhook_seconds),
                auto_decompress=False,
                headers={"User-Agent": f"musterd/{musterd.__version__}"},
            )
        return session

    def _headers(self, message_id: str, body: str) -> dict[str, str]:
        at = datetime.fromtimestamp(int(clock.now()), UTC)
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, at, body) for signer in self._signers),
        }


async def _outcome(answer: aiohttp.ClientResponse) -> Outcome:
    if 200 <= answer.status < 300:  # the body does not matter; it is read so that the connection can be used again
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(TAIL_SECONDS):
                await answer.content.read(READ_BYTES)
        return Outcome(status=answer.status)
    body = await answer.content.read(READ_BYTES)
    message = _line(body.decode("utf-8", "replace")) or (answer.reason or "")
    if 300 <= answer.status < 400:
        message = "redirects are not followed"
    return Outcome(
        status=answer.status,
        error=_line(f"{answer.status}: {message}"),
        retry_after_seconds=_retry_after(answer.headers.get("Retry-After")),
        is_final=answer.status == GONE,
    )


def _failure(error: Exception, *, is_own: bool) -> Outcome:
    """The outcome of a try that got no answer.

    It is retried whatever the reason: giving up would reveal the reason, and a name may resolve differently later.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return Outcome(error="TLS failed because the certificate or the TLS version was not accepted")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = _not_reached(error)
        return Outcome(error=reason if is_own else NOT_REACHED, reason=reason)
    if isinstance(error, aiohttp.ClientResponseError):
        return Outcome(error="The response is not valid HTTP")
    if isinstance(error, FramingTooLong):
        return Outcome(error=str(error))
    return Outcome(error="The connection was lost before the response")


def _not_reached(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error.os_error, NotAllowed):
        return str(error.os_error)
    is_unknown = isinstance(error, aiohttp.ClientConnectorDNSError)
    return "The host name could not be resolved" if is_unknown else "The connection failed"


def _retry_after(text: str | None) -> float | None:
    """The number of seconds that ``Retry-After`` asks to wait; it may be a number or a date."""
    if text is None:
        return None
    if text.strip().isdecimal() and text.isascii():
        return float(text.strip()[:12])
    try:
        return max(parsedate_to_datetime(text).timestamp() - clock.now(), 0.0)
    except (ValueError, TypeError, OverflowError):  # the last one for a zone of millions of hours
        return None


def _line(text: str) -> str:
    """The beginning of a text as one line of printable characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())
    return line if len(line) <= KEPT_CHARACTERS else line[: KEPT_CHARACTERS - 1] + "…"
