"""Decides which addresses webhooks may use: URLs from clients must not lead into the operator's private network.

:class:`Reach` checks the URL when a run is accepted, and the resolved address at each delivery, because a name may
resolve to another address by then. Private networks are those of the IANA special-purpose registries, as
:mod:`ipaddress` knows them.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH = 2048
WEB_PORTS = (80, 443)
FIRST_FREE_PORT = 1024

NOT_ALLOWED = "points to a private network, which is not allowed"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # printable ASCII without " < > \ ^ ` { | }
_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """The destinations that webhooks may use in addition to the public internet.

    :param hosts: host names that may resolve to any address.
    :param networks: allowed private networks.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Parse an operator's list of networks (``10.1.0.0/16``), addresses and host names.

        :raises ValueError: an entry is none of these.
        """
        hosts: set[str] = set()
        networks: list[_Network] = []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError as error:
                name = _without_dot(entry.lower())
                if not _NAME.fullmatch(name) or _NUMERIC.fullmatch(name):
                    raise ValueError(f"{entry} is not a network like 10.1.0.0/16, an address or a host name") from error
                hosts.add(name)
        return cls(frozenset(hosts), tuple(networks))

    def problem(self, url: str) -> str | None:
        """The reason why webhooks must not use ``url``, without quoting it; None if they may."""
        parts = split(url)
        if isinstance(parts, str):
            return parts
        host = host_of(parts)
        # Resolvers take 127.1 and 0x7f.1 for addresses too, so a host that looks like a number must be one that is
        # parsed and checked here.
        if _NUMERIC.fullmatch(host) or ":" in host:
            address = _parse_address(host)
            if address is None:
                return "The URL's host is numeric but not a valid IP address"
            is_listed = any(address in network for network in self.networks)
            is_allowed = self.allows(host, str(address))
        elif not _NAME.fullmatch(host):
            return "The URL's host is not a valid name; write an international name as xn--…"
        else:
            is_listed = host in self.hosts
            is_allowed = is_listed or not _is_localhost(host)
        if not is_allowed:
            return f"The URL {NOT_ALLOWED}"
        if not is_listed and parts.port not in (None, *WEB_PORTS) and (parts.port or 0) < FIRST_FREE_PORT:
            return f"The URL's port must be 80, 443, or {FIRST_FREE_PORT} or higher"
        return None

    def allows(self, host: str, address: str) -> bool:
        """Whether a webhook for ``host`` may be sent to ``address``, which the host is or resolves to."""
        if _without_dot(host.lower()) in self.hosts:
            return True
        parsed = _parse_address(address)
        return parsed is not None and (_is_public(parsed) or any(parsed in network for network in self.networks))


def split(url: str) -> SplitResult | str:
    """The parts of a webhook's URL, or the reason why it is not valid."""
    if len(url) > MAX_URL_LENGTH:
        return f"The URL must have at most {MAX_URL_LENGTH} characters"
    if not _URL.fullmatch(url.lower()):
        return "The URL contains invalid characters; percent-encode them"
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        return "Input should be a valid URL"
    if parts.scheme not in ("http", "https"):
        return "The URL must begin with http:// or https://"
    if "@" in parts.netloc:
        return "The URL must not contain a user name or a password"
    if not parts.hostname:
        return "The URL has no host"
    return parts


def host_of(parts: SplitResult) -> str:
    """The host of a URL, in lower case, without brackets and without a trailing dot."""
    return _without_dot((parts.hostname or "").lower())


def host_and_port(url: str) -> str:
    """The host and port of a URL, for counting and for the log, which must not contain the whole URL."""
    parts = urlsplit(url)
    return f"{host_of(parts)}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def redacted_url(url: str) -> str:
    """The URL without path and query, because they may contain a secret of the receiver."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") or parts.query else "/")


def _without_dot(host: str) -> str:
    return host.removesuffix(".")


def _is_localhost(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _parse_address(text: str) -> _Address | None:
    """Parse an address. An IPv4 address embedded in an IPv6 address replaces it, because packets are routed there."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


_SPECIAL_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host agent, which serves credentials and configuration
        "192.0.0.0/24",  # protocol assignments; Python considers parts of it global
        "192.88.99.0/24",  # deprecated 6to4 relays (RFC 7526)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""Networks that Python considers public although they are not, or that belong to the machine itself."""


def _is_public(address: _Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    is_listed_special = any(address in network for network in _SPECIAL_NETWORKS)
    return address.is_global and not is_special and not is_site_local and not is_listed_special
