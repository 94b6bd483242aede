"""Service accounts: users that are programs, each with a token of its own."""

from dataclasses import dataclass

from musterd.core.scopes import Scopes

SERVICE = "service:"
"""What the users that service accounts are begin with. No other token may name such a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """A service account. Its token is nowhere stored.

    :param token_prefix: the beginning of the token, to recognise it by.
    :param created_by: the user that made it; None: whoever has the key, or the command line.
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
        """The user that it is: the owner of what it makes."""
        return f"{SERVICE}{self.name}"

    def is_valid(self, now: float) -> bool:
        """Whether its token lets anybody in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """Which service accounts to list, and how."""

    with_revoked: bool = True
    sort_by: str = "created_at"
    descending: bool = True
    limit: int = 20
    page: int = 1
