"""Principals: whoever a request was proved to come from."""

from dataclasses import dataclass

from musterd.core.callers import Caller
from musterd.core.scopes import EVERYTHING, Scopes
from musterd.core.service_accounts import ServiceAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whoever asks.

    :param name: whose requests are counted together; "" where nobody is known.
    :param caller: what use cases have to know.
    :param scopes: what it may do.
    :param valid_until: when its token expires, in unix seconds; None: never.
    :param account_id: the service account that it is, which may be revoked; None: it is none.
    """

    name: str
    caller: Caller
    scopes: Scopes
    valid_until: float | None = None
    account_id: str | None = None


ANYBODY = Principal(name="", caller=Caller(), scopes=EVERYTHING)
"""Where neither key nor tokens are asked for."""

STRANGER = Principal(name="", caller=Caller(), scopes=Scopes())
"""Whoever asks for what is open to everybody: may nothing else."""

KEY_HOLDER = Principal(name="key", caller=Caller(), scopes=EVERYTHING)
"""Whoever has the key. They are not told from each other."""


def user(user_id: str, scopes: Scopes, *, valid_until: float | None = None, account_id: str | None = None) -> Principal:
    """The user that a token names; parameters as of :class:`Principal`."""
    caller = Caller(user_id=user_id, label=user_id, is_admin=scopes.is_admin)
    return Principal(
        name=f"user:{user_id}", caller=caller, scopes=scopes, valid_until=valid_until, account_id=account_id
    )


def service_account(account: ServiceAccount) -> Principal:
    """A service account: a user of its own."""
    return user(account.principal, account.scopes, valid_until=account.expires_at, account_id=account.id)
