"""Principals: the authenticated callers of requests."""

from dataclasses import dataclass
from typing import Literal

from musterd.core.callers import Caller
from musterd.core.scopes import EVERYTHING, Scopes

PrincipalKind = Literal["user", "service_account", "security_key", "open"]
"""How a caller is authenticated: a user's token, a service account's token, the shared key, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller of a request.

    :param name: the name under which its requests are counted for rate limits; "" if the caller is unknown.
    :param caller: the part that services need to know.
    :param scopes: what the caller may do.
    :param display_name: the name of the account, or the name of the user in its token.
    :param valid_until: when the token expires, in unix seconds; None if it does not expire.
    :param account_id: the id of an account that may be revoked while a request is open; None for other callers.
    """

    name: str
    caller: Caller
    scopes: Scopes
    kind: PrincipalKind = "open"
    display_name: str | None = None
    valid_until: float | None = None
    account_id: str | None = None


ANYBODY = Principal(name="", caller=Caller(), scopes=EVERYTHING)
"""Any caller of a server without authentication."""

STRANGER = Principal(name="", caller=Caller(), scopes=Scopes())
"""The caller of an open path on a server with authentication; it has no scopes."""

KEY_HOLDER = Principal(name="key", caller=Caller(), scopes=EVERYTHING, kind="security_key")
"""Any caller with the security key. Such callers cannot be distinguished."""


def user(
    user_id: str,
    scopes: Scopes,
    *,
    display_name: str | None = None,
    valid_until: float | None = None,
    account_id: str | None = None,
) -> Principal:
    """The user that a token names; the parameters are those of :class:`Principal`."""
    return Principal(
        name=f"user:{user_id}",
        caller=Caller(user_id=user_id, label=user_id, is_admin=scopes.is_admin),
        scopes=scopes,
        kind="user" if account_id is None else "service_account",
        display_name=display_name,
        valid_until=valid_until,
        account_id=account_id,
    )
