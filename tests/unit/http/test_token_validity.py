"""The validity of a token, as streams and waiting requests hold it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from musterd.core import clock
from musterd.core.errors import Unauthenticated, WrongToken
from musterd.core.scopes import Scopes
from musterd.http.auth.expiry import Validity
from musterd.http.auth.principals import KEY_HOLDER, Principal, user


class Watch:
    """Holds on to what ends the request."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], object]] = []

    @contextmanager
    def watching(self, account_id: str, end: Callable[[], object]) -> Iterator[None]:
        self.ends.append(end)
        try:
            yield
        finally:
            self.ends.remove(end)


def validity(principal: Principal, watch: Watch | None = None) -> Validity:
    return Validity(principal, watch)


def expiring(seconds: float, account_id: str | None = None) -> Principal:
    return user("ada", Scopes(), valid_until=clock.now() + seconds, account_id=account_id)


@pytest.mark.parametrize("seconds", [-5, 0, 0.01])
async def test_a_block_ends_when_the_token_expires(seconds: float) -> None:
    with pytest.raises(Unauthenticated, match="Token has expired"):
        async with asyncio.timeout(30), validity(expiring(seconds)).held():
            await asyncio.Event().wait()


async def test_a_block_ends_when_the_account_is_revoked() -> None:
    watch = Watch()

    async def revoke_and_wait() -> None:
        for end in (*watch.ends, *watch.ends):  # twice: by this process and by the check
            end()
        await asyncio.Event().wait()

    with pytest.raises(WrongToken):
        async with asyncio.timeout(30), validity(expiring(3600, "a1"), watch).held():
            await revoke_and_wait()
    assert watch.ends == []


async def test_a_block_that_ends_first_is_left_alone() -> None:
    watch = Watch()
    async with validity(expiring(3600, "a1"), watch).held():
        pass
    assert watch.ends == []
    async with validity(KEY_HOLDER, watch).held():
        assert watch.ends == []


async def test_what_a_block_raises_stays_as_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with validity(expiring(3600)).held():
            raise TimeoutError
    with pytest.raises(TimeoutError):
        async with validity(expiring(3600)).held(), asyncio.timeout(0):
            await asyncio.Event().wait()
