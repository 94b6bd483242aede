"""Ends streams and waiting requests when the token expires or its service account is revoked."""

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
    """The validity of the token of one request.

    Only streams and waiting requests use it. All other requests are short, and a request that writes must not be
    interrupted halfway.
    """

    def __init__(self, principal: Principal, watch: AccountWatch) -> None:
        self._principal = principal
        self._watch = watch

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Run the block, and cancel it when the token is no longer valid.

        :raises Unauthenticated: the token has expired during the block.
        :raises WrongToken: its service account was revoked during the block.
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
                with watching:  # inside the timeout: revoke() must not reschedule it after its end
                    yield
        except TimeoutError as error:
            if not timeout.expired():  # a timeout inside the block
                raise
            raise (WrongToken() if is_revoked else Unauthenticated("Token has expired")) from error


def validity_of(request: Request) -> Validity:
    """The validity of the token of a request."""
    return validity_in(request.scope)


def validity_in(scope: Scope) -> Validity:
    """The same for an ASGI scope."""
    validity: Validity = scope["state"]["validity"]
    return validity
