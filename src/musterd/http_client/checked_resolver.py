"""Resolves names that clients have chosen, and refuses those that lead into a private network."""

import asyncio
import socket
from functools import partial
from socket import getaddrinfo, getnameinfo
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from musterd.core.daemon_threads import DaemonThreads
from musterd.core.webhook_addresses import NOT_ALLOWED, Reach

_threads = DaemonThreads(16, "musterd-names")


class _OwnThreads:
    """Looks names up in threads of its own.

    The event loop makes only a few lookups at a time, two with uvloop. Two names whose servers do not answer would hold
    up those of models and of the database for many seconds.
    """

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return await _threads.call(partial(getaddrinfo, host, port, **options))

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        return await _threads.call(partial(getnameinfo, address, flags))


class NotAllowed(OSError):
    """The name resolves to an address that a URL of a client may not lead to."""


class CheckedResolver(AbstractResolver):
    """Resolves names as the system does, and refuses names that resolve to an address that is not allowed.

    Connections go to the addresses that it returns, without another lookup: so a name that changes is checked again.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        # Of its loop, aiohttp's resolver uses these two methods.
        self._resolver = aiohttp.ThreadedResolver(cast(asyncio.AbstractEventLoop, _OwnThreads()))

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
