"""Lookups of names that clients have chosen."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from musterd.core.webhook_addresses import Reach
from musterd.http_client import CheckedResolver, checked_resolver


async def test_names_that_do_not_resolve_hold_up_no_other_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def hang(host: str, port: int, **_: Any) -> list[Any]:
        is_over.wait()
        raise socket.gaierror

    monkeypatch.setattr(checked_resolver, "getaddrinfo", hang)
    resolver = CheckedResolver(Reach())
    lookups = [asyncio.create_task(resolver.resolve(f"{number}.example.org", 443)) for number in range(100)]
    await asyncio.wait(lookups, timeout=0)
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("127.0.0.1", 80), "as for a model's provider or the database"
    is_over.set()
    outcomes = await asyncio.gather(*lookups, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {socket.gaierror}


async def test_an_allowed_address_is_resolved() -> None:
    resolver = CheckedResolver(Reach.of(("127.0.0.0/8", "::1/128")))
    (result,) = await resolver.resolve("127.0.0.1", 80)
    assert (result["host"], result["port"], result["family"]) == ("127.0.0.1", 80, socket.AF_INET)
