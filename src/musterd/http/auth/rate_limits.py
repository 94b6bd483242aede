"""Limits of how often somebody may ask: a bucket for each, which fills as time goes by."""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.errors import TooManyRequests
from musterd.core.settings import Settings

MOST_BUCKETS = 10_000
"""The least used goes: it is full again before anybody can tell."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Buckets:
    """One bucket for each name; a name that was not seen for long has a full one.

    :param per_minute: what flows in; 0: nothing is ever refused.
    :param burst: what a full one holds.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def require(self, name: str, words: str) -> None:
        """Check that something is left, and take nothing.

        :raises TooManyRequests: nothing is; it says when there will be.
        """
        if not self._per_second:
            return
        left = self._bucket(name).left
        if left < 1:
            raise TooManyRequests(words, math.ceil((1 - left) / self._per_second))

    def take(self, name: str) -> None:
        """Take one."""
        if self._per_second:
            self._bucket(name).left -= 1

    def _bucket(self, name: str) -> _Bucket:
        now = clock.monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets.move_to_end(name)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket


class Limits:
    """How often a principal may ask, and how often an address may be wrong."""

    def __init__(self, settings: Settings) -> None:
        failures = settings.auth_failures_per_minute
        self._requests = Buckets(settings.rate_per_minute, settings.rate_burst)
        self._failures = Buckets(failures, max(failures, 1))

    def admit(self, principal: str, address: str) -> None:
        """Count a request of a principal, or of an address where nobody is known.

        :raises TooManyRequests: there were too many.
        """
        name = principal or f"at {address}"
        self._requests.require(name, "Too many requests; try again later.")
        self._requests.take(name)

    def require_unsuspected(self, address: str) -> None:
        """Check that an address was not wrong too often, before what it shows is looked at: a guess costs.

        :raises TooManyRequests: it was.
        """
        self._failures.require(address, "Too many wrong keys or tokens; try again later.")

    def was_wrong(self, address: str) -> None:
        """Count a wrong key or token."""
        self._failures.take(address)


def network_of(host: str) -> str:
    """Whose address it is: of IPv6 the network of 64 bits, which one client has to itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
