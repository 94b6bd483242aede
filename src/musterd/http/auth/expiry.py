"""How long a request's caller may go on reading: until the token expires, or its service account is revoked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import Scope

from musterd.core import clock
from musterd.core.errors import Unauthenticated, WrongToken
from musterd.http.auth.principals import Principal
from musterd.service.account_watch import AccountWatch


class Validity:
    """The validity of the token that one request was made with.

    Streams and waiting requests hold it open. All other requests are short: they end by themselves, and a request that
    writes is never cut off half-way.
    """

    def __init__(self, principal: Principal, watch: AccountWatch) -> None:
        self._principal = principal
        self._watch = watch

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Run the block for as long as the token is valid; it is cancelled when it no longer is.

        :raises Unauthenticated: the token has expired meanwhile.
        :raises WrongToken: its service account was revoked meanwhile.
        """
        principal, is_revoked = self._principal, False
        if principal.valid_until is None and principal.account_id is None:
            yield
            return
        timeout = asyncio.timeout(None if principal.valid_until is None else principal.valid_until - clock.now())

        def revoke() -> None:
            nonlocal is_revoked
            if not timeout.expired():
                is_revoked = True
                timeout.reschedule(asyncio.get_running_loop().time())

        account_id = principal.account_id
        watching = contextlib.nullcontext() if account_id is None else self._watch.watching(account_id, revoke)
        try:
            async with timeout:
                with watching:  # left before the timeout is, which cannot be rescheduled after that
                    yield
        except TimeoutError as error:
            if not timeout.expired():  # a timeout of the block's own
                raise
            raise (WrongToken() if is_revoked else Unauthenticated("Token has expired")) from error


def validity_of(request: Request) -> Validity:
    """The validity of a request's token."""
    return validity_in(request.scope)


def validity_in(scope: Scope) -> Validity:
    """The same, by the request's ASGI scope."""
    validity: Validity = scope["state"]["validity"]
    return validity
