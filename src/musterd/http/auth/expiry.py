"""Ends streams and waiting requests when the token expires or its account is revoked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.types import Scope

from musterd.core import clock
from musterd.core.errors import Unauthenticated, WrongToken
from musterd.http.auth.issued_tokens import Revocations
from musterd.http.auth.principals import Principal


class Validity:
    """The validity of the token of one request.

    Only streams and waiting requests use it. All other requests are short, and a request that writes must not be
    interrupted halfway.
    """

    def __init__(self, principal: Principal, revocations: Revocations | None) -> None:
        self._principal = principal
        self._revocations = revocations

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Run the block, and cancel it when the token is no longer valid.

        :raises Unauthenticated: the token has expired during the block.
        :raises WrongToken: its account was revoked during the block.
        """
        principal, is_revoked = self._principal, False
        if principal.valid_until is None and principal.account_id is None:
            yield
            return
        timeout = asyncio.timeout(None if principal.valid_until is None else principal.valid_until - clock.now())

        def revoke() -> None:
            nonlocal is_revoked
            # asyncio refuses to reschedule a timeout that has expired; then the token's own end counts.
            if not timeout.expired():
                is_revoked = True
                timeout.reschedule(asyncio.get_running_loop().time())

        try:
            async with timeout:
                with self._watching(revoke):  # inside the timeout: revoke() must not reschedule it after its end
                    yield
        except TimeoutError as error:
            if not timeout.expired():  # a timeout inside the block
                raise
            raise (WrongToken() if is_revoked else Unauthenticated("Token has expired")) from error

    def _watching(self, revoke: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        if self._revocations is None or self._principal.account_id is None:
            return contextlib.nullcontext()
        return self._revocations.watching(self._principal.account_id, revoke)


def validity_of(request: Request) -> Validity:
    """The validity of the token of a request."""
    return validity_in(request.scope)


def validity_in(scope: Scope) -> Validity:
    """The same for an ASGI scope."""
    validity: Validity = scope["state"]["validity"]
    return validity
