"""Who asks: what a use case has to know of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    :param user_id: the user that a token proved, else None: the owner of what is made, and isolation goes by it.
    :param label: what scopes run ids and idempotency keys: the proved user, else "".
    :param is_admin: whether others' things are seen too.
    """

    user_id: str | None = None
    label: str = ""
    is_admin: bool = False

    @property
    def sees_only(self) -> str | None:
        """The owner of all that this caller may see; None: it may see everybody's."""
        return None if self.is_admin else self.user_id

    def may_see(self, owner: str | None) -> bool:
        """Whether this caller may see what belongs to ``owner`` (None: to nobody)."""
        return self.sees_only is None or owner == self.sees_only
