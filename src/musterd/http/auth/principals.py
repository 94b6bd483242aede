"""Principals: the authenticated callers of requests."""

from dataclasses import dataclass

from musterd.core.callers import Caller
from musterd.core.scopes import EVERYTHING, Scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller of a request.

    :param name: the name under which its requests are counted for rate limits; "" if the caller is unknown.
    :param caller: the part that services need to know.
    :param scopes: what the caller may do.
    :param valid_until: when the token expires, in unix seconds; None if it does not expire.
    :param account_id: the id of an account that may be revoked while a request is open; None for other callers.
    """

    name: str
    caller: Caller
    scopes: Scopes
    valid_until: float | None = None
    account_id: str | None = None


ANYBODY = Principal(name="", caller=Caller(), scopes=EVERYTHING)
"""Any caller of a server without authentication."""

STRANGER = Principal(name="", caller=Caller(), scopes=Scopes())
"""The caller of an open path on a server with authentication; it has no scopes."""

KEY_HOLDER = Principal(name="key", caller=Caller(), scopes=EVERYTHING)
"""Any caller with the security key. Such callers cannot be distinguished."""


def user(user_id: str, scopes: Scopes, *, valid_until: float | None = None, account_id: str | None = None) -> Principal:
    """The user that a token names; the parameters are those of :class:`Principal`."""
    caller = Caller(user_id=user_id, label=user_id, is_admin=scopes.is_admin)
    return Principal(
        name=f"user:{user_id}", caller=caller, scopes=scopes, valid_until=valid_until, account_id=account_id
    )
