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
    """

    name: str
    caller: Caller
    scopes: Scopes


ANYBODY = Principal(name="", caller=Caller(), scopes=EVERYTHING)
"""Where neither key nor tokens are asked for."""

STRANGER = Principal(name="", caller=Caller(), scopes=Scopes())
"""Whoever asks for what is open to everybody: may nothing else."""

KEY_HOLDER = Principal(name="key", caller=Caller(), scopes=EVERYTHING)
"""Whoever has the key. They are not told from each other."""


def user(user_id: str, scopes: Scopes) -> Principal:
    """The user that a token names."""
    caller = Caller(user_id=user_id, label=user_id, is_admin=scopes.is_admin)
    return Principal(name=f"user:{user_id}", caller=caller, scopes=scopes)


def service_account(account: ServiceAccount) -> Principal:
    """A service account: a user of its own."""
    return user(account.principal, account.scopes)
