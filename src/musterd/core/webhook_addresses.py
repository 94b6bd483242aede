"""Where webhooks may go: addresses that clients name must lead to the internet, not into the operator's own network.

What is written is judged when a run is accepted, what a name resolves to at each delivery: both by :class:`Reach`. The
networks that count as private are those of the IANA special-purpose registries, as :mod:`ipaddress` knows them.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

MOST_CHARACTERS = 2048
WEB_PORTS = (80, 443)
FIRST_FREE_PORT = 1024

NOT_ALLOWED = "leads into a private network, where webhooks may not go"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # printable ASCII without " < > \ ^ ` { | }
_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """What webhooks reach beside the internet.

    :param hosts: names that may resolve to anything.
    :param networks: private networks that are allowed.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The reach that an operator lists: networks (``10.1.0.0/16``), addresses and host names.

        :raises ValueError: one is none of these, in words.
        """
        hosts: set[str] = set()
        networks: list[_Network] = []
        for text in texts:
            try:
                networks.append(ipaddress.ip_network(text.strip("[]")))
            except ValueError as error:
                name = _without_dot(text.lower())
                if not _NAME.fullmatch(name) or _NUMERIC.fullmatch(name):
                    raise ValueError(f"{text} is no network (10.1.0.0/16), address or host name") from error
                hosts.add(name)
        return cls(frozenset(hosts), tuple(networks))

    def problem(self, url: str) -> str | None:
        """Why no webhook goes to ``url`` as it is written, in words that do not repeat it; None: it may."""
        parts = split(url)
        if isinstance(parts, str):
            return parts
        host = host_of(parts)
        if _NUMERIC.fullmatch(host) or ":" in host:
            address = _address(host)
            if address is None:
                return "The URL's host is a number, but no address as they are commonly written"
            is_own = any(address in network for network in self.networks)
            is_allowed = self.takes(host, str(address))
        elif not _NAME.fullmatch(host):
            return "The URL's host is no name; write one with other letters as xn--…"
        else:
            is_own = host in self.hosts
            is_allowed = is_own or not _is_local(host)
        if not is_allowed:
            return f"The URL {NOT_ALLOWED}"
        if not is_own and parts.port not in (None, *WEB_PORTS) and (parts.port or 0) < FIRST_FREE_PORT:
            return f"The URL's port must be 80, 443, or {FIRST_FREE_PORT} or higher"
        return None

    def takes(self, host: str, address: str) -> bool:
        """Whether a webhook for ``host`` may be sent to ``address``, which is what the host is or resolves to."""
        if _without_dot(host.lower()) in self.hosts:
            return True
        found = _address(address)
        return found is not None and (_is_public(found) or any(found in network for network in self.networks))


def split(url: str) -> SplitResult | str:
    """The parts of a webhook's URL; or, in words, why it is none."""
    if len(url) > MOST_CHARACTERS:
        return f"A URL has at most {MOST_CHARACTERS} characters"
    if not _URL.fullmatch(url.lower()):
        return "The URL holds characters that a URL cannot have; write them as %…"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "Input should be a valid URL"
    if parts.scheme not in ("http", "https"):
        return "The URL must begin with http:// or https://"
    if "@" in parts.netloc:
        return "The URL must not hold a user or a password: receivers check the signature"
    if not parts.hostname:
        return "The URL names no host"
    return parts


def host_of(parts: SplitResult) -> str:
    """The host of a URL, in lower case, without brackets and without the dot at its end."""
    return _without_dot((parts.hostname or "").lower())


def place_of(url: str) -> str:
    """The host and port that a URL is sent to: what is counted, and logged in place of the URL."""
    parts = urlsplit(url)
    return f"{host_of(parts)}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def shown(url: str) -> str:
    """The URL without its path and query, in which receivers keep secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") or parts.query else "/")


def _without_dot(host: str) -> str:
    return host.removesuffix(".")


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _address(text: str) -> _Address | None:
    """The address as it is meant: what an IPv6 address carries in it counts in its place."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1] or found


_INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # the host of a machine at Azure: its credentials and its configuration
        "192.0.0.0/24",  # of protocols; parts of it count as global
        "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""What Python takes for addresses of the public internet and is none, or speaks of the machine itself."""


def _is_public(address: _Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    is_site = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    is_inside = any(address in network for network in _INSIDE)
    return address.is_global and not is_special and not is_site and not is_inside
