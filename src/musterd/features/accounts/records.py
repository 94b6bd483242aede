"""Service accounts: users that are programs, each with a token."""

import re
from dataclasses import dataclass

from musterd.core.callers import SERVICE_PREFIX
from musterd.core.scopes import Scopes

NAME_LENGTH = 63
DEFAULT_SCOPES = (
    *("agents:read", "agents:run", "teams:read", "teams:run", "workflows:read", "workflows:run"),
    "sessions:read",
)
"""The scopes of an account for which none are given: run what is served, and read its own sessions."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A service account. Its token is not stored, only a hash of it.

    :param token_prefix: the beginning of the token, to recognize it by.
    :param created_by: the user that created it; None: a holder of the security key, or the command line.
    :param expires_at: when its token expires, in unix seconds; None: never.
    :param last_used_at: about when it was used last.
    :param revoked_at: when it was revoked; None: it was not.
    """

    id: str
    name: str
    token_prefix: str
    scopes: Scopes
    created_at: float
    created_by: str | None = None
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None

    @property
    def principal(self) -> str:
        """The id of the user that it is: the owner of what it creates."""
        return f"{SERVICE_PREFIX}{self.name}"

    def is_valid(self, now: float) -> bool:
        """Whether its token is accepted."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """A service account to create.

    :param days: the number of days for which its token is valid; None: forever.
    """

    name: str
    scopes: Scopes
    days: int | None


@dataclass(frozen=True, slots=True)
class CreatedAccount:
    """A new account with its token, which is known only now."""

    account: ServiceAccount
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """Which service accounts to list, and in which order."""

    has_revoked: bool = True
    sort_by: str = "created_at"
    is_descending: bool = True
    limit: int = 20
    page: int = 1


def is_account_name(text: str) -> bool:
    """Whether an account may have this name: 1 to 63 letters, digits, dots, dashes and underscores."""
    return _NAME.fullmatch(text) is not None
