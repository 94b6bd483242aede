"""Addresses of this machine by its loopback."""

import contextlib
import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host, as a URL or an option names it, is only reachable from this machine."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
