"""What authentication needs of a feature that issues tokens, such as service accounts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from musterd.http.auth.principals import Principal


class Revocations(Protocol):
    """Revocations of accounts, by this process or another one."""

    def watching(self, account_id: str, end: Callable[[], object]) -> AbstractContextManager[None]:
        """Call ``end`` if the account is revoked before the context is left."""


class IssuedTokens(Revocations, Protocol):
    """Tokens that this server itself has issued, and that can be revoked at any time."""

    def matches(self, token: str) -> bool:
        """Whether a token has the form of those that are issued here."""

    async def principal(self, token: str) -> Principal:
        """The principal of a token of that form.

        :raises WrongToken: it was not issued here, or it was revoked.
        :raises Unauthenticated: it has expired.
        :raises Unavailable: it cannot be looked up now.
        """

    async def account_of(self, user_id: str) -> Principal:
        """The principal of the account that is this user now.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: its token has expired.
        :raises Unavailable: it cannot be looked up now.
        """

    async def account(self, account_id: str) -> Principal:
        """The principal of an account as it is now.

        :raises WrongToken: there is none, or it was revoked.
        :raises Unauthenticated: its token has expired.
        :raises Unavailable: it cannot be looked up now.
        """
