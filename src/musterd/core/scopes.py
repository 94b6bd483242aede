"""Scopes: what a token may do, in the words of AgentOS.

``teams:run`` is every team, ``teams:desk:run`` is the team ``desk``, ``teams:*:run`` is every team again, and
``agent_os:admin`` is everything.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

ADMIN = "agent_os:admin"
LONGEST = 512
"""Characters of a scope: an identifier with a resource and an action around it."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes that somebody has.

    :param granted: as they are written.
    """

    granted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, granted: Iterable[object]) -> Self:
        """These scopes; what is no text grants nothing."""
        return cls(frozenset(one for one in granted if isinstance(one, str)))

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed, and everybody's things are seen."""
        return ADMIN in self.granted

    def allows(self, scope: str, resource_id: str | None = None) -> bool:
        """Whether ``scope`` (``resource:action``) is granted, for all or for the one resource that is meant."""
        if self.is_admin or scope in self.granted:
            return True
        if scope == ADMIN:
            return False
        resource, action = scope.split(":")
        if f"{resource}:*:{action}" in self.granted:
            return True
        return resource_id is not None and f"{resource}:{resource_id}:{action}" in self.granted

    def allows_some(self, resource: str, actions: Collection[str]) -> bool:
        """Whether one of the actions is granted for some resource of this kind, whichever."""
        if self.is_admin:
            return True
        parts = (one.split(":") for one in self.granted)
        return any(len(one) > 1 and one[0] == resource and one[-1] in actions for one in parts)


EVERYTHING = Scopes(frozenset({ADMIN}))


def is_scope(text: str) -> bool:
    """Whether ``text`` has the form of a scope: ``resource:action``, or with an id between the two."""
    parts = text.split(":")
    return len(text) <= LONGEST and text.isprintable() and len(parts) > 1 and all(parts) and " " not in text
