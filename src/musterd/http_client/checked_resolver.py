"""Resolves names that clients have chosen, and refuses those that lead into a private network."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from musterd.core.webhook_addresses import NOT_ALLOWED, Reach


class NotAllowed(OSError):
    """The name resolves to an address that a URL of a client may not lead to."""


class CheckedResolver(AbstractResolver):
    """Resolves names as the system does, and refuses names that resolve to an address that is not allowed.

    Connections go to the addresses that it returns, without another lookup: so a name that changes is checked again.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of ``host``.

        :raises NotAllowed: one of them is not allowed.
        """
        results = await self._resolver.resolve(host, port, family)
        # Every address is checked, because aiohttp may connect to any of those that are returned.
        if not all(self._reach.allows(host, result["host"]) for result in results):
            raise NotAllowed(f"The name {NOT_ALLOWED}")
        return results

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()
