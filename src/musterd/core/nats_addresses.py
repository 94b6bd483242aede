"""Addresses of NATS servers, as MUSTERD_BUS lists them."""

from urllib.parse import SplitResult, urlsplit

SCHEMES = ("nats", "tls", "ws", "wss")
_CURE = "In a user or password, write / as %2F, @ as %40, # as %23 and ? as %3F"


def split_servers(servers: str) -> list[SplitResult]:
    """The addresses in a list that is separated by commas.

    :raises ValueError: one is no address. The message does not repeat it, because it may have a password.
    """
    parts = []
    for number, address in enumerate(servers.split(","), 1):
        if (server := _split(address.strip())) is None:
            raise ValueError(f"server {number} is no address like nats://host:4222. {_CURE}")
        parts.append(server)
    return parts


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address if "://" in address else f"nats://{address}")
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of brackets
        return None
    # A password with a "/" that is not encoded looks like a host with a path.
    has_more = parts.path.strip("/") or parts.query or parts.fragment
    return parts if has_host and parts.scheme in SCHEMES and not has_more else None
