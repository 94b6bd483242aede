"""The caller of a use case."""

from dataclasses import dataclass

SERVICE_PREFIX = "service:"
"""The beginning of the ids of users that are service accounts. Tokens of external issuers cannot name such users."""


def is_person(user_id: str | None) -> bool:
    """Whether the user of a run is known and a person.

    A service account is a program that may speak for many people, who must not see each other's memories.
    """
    return bool(user_id and not user_id.startswith(SERVICE_PREFIX))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller of a use case.

    :param user_id: the user that a token authenticated, else None. It owns what the caller creates, and isolation uses
        it.
    :param label: the namespace of run ids and idempotency keys: the authenticated user, else "".
    :param is_admin: whether the caller may see the data of all users.
    """

    user_id: str | None = None
    label: str = ""
    is_admin: bool = False

    @property
    def sees_only(self) -> str | None:
        """The only owner whose data this caller may see; None if it may see everything."""
        return None if self.is_admin else self.user_id

    def may_see(self, owner: str | None) -> bool:
        """Whether this caller may see data that belongs to ``owner`` (None: no owner)."""
        return self.sees_only is None or owner == self.sees_only
