"""Rate limits by token bucket: one for the requests of each principal, one for the failures of each address."""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.errors import TooManyRequests
from musterd.core.settings import Settings

MAX_BUCKETS = 10_000
"""Most buckets that are kept. The least recently used one is dropped first, because it is most likely full again."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    updated_at: float


class Buckets:
    """One token bucket for each name. A new bucket is full.

    :param per_minute: tokens that are added per minute; 0 to refuse nothing.
    :param burst: tokens in a full bucket.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def require(self, name: str, message: str) -> None:
        """Check that a token is left, without taking it.

        :raises TooManyRequests: no token is left; the error says when there will be one.
        """
        if not self._per_second:
            return
        tokens = self._bucket(name).tokens
        if tokens < 1:
            raise TooManyRequests(message, math.ceil((1 - tokens) / self._per_second))

    def take(self, name: str) -> None:
        """Take one token."""
        if self._per_second:
            self._bucket(name).tokens -= 1

    def _bucket(self, name: str) -> _Bucket:
        now = clock.monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.updated_at) * self._per_second)
        bucket.updated_at = now
        # The order of use, so that the bucket that is dropped is the one used least recently.
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket


class RateLimits:
    """Limits the requests of each principal, and the authentication failures of each address."""

    def __init__(self, settings: Settings) -> None:
        failures = settings.auth_failures_per_minute
        self._requests = Buckets(settings.rate_per_minute, settings.rate_burst)
        self._failures = Buckets(failures, max(failures, 1))

    def admit(self, principal: str, address: str) -> None:
        """Count a request for its principal, or for its address if the caller is unknown.

        :raises TooManyRequests: there were too many requests.
        """
        name = principal or f"at {address}"
        self._requests.require(name, "Too many requests; try again later.")
        self._requests.take(name)

    def require_few_failures(self, address: str) -> None:
        """Check that an address did not fail too often; called before its credentials are checked.

        :raises TooManyRequests: there were too many failures.
        """
        self._failures.require(address, "Too many wrong keys or tokens; try again later.")

    def count_failure(self, address: str) -> None:
        """Count a wrong key or token from an address."""
        self._failures.take(address)


def network_of(host: str) -> str:
    """The network that a client's failures count for: an IPv4 address, or a /64 of IPv6, which one client may own."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
