"""Scopes: the permissions of a token, in AgentOS's notation.

``teams:run`` is every team, ``teams:desk:run`` is the team ``desk``, ``teams:*:run`` is every team again, and
``agent_os:admin`` is everything.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

ADMIN = "agent_os:admin"
MAX_LENGTH = 512
"""The most characters of a scope, enough for an identifier with a resource and an action."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of a caller.

    :param granted: the scopes as text.
    """

    granted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, granted: Iterable[object]) -> Self:
        """The scopes in ``granted``; values that are not strings grant nothing."""
        return cls(frozenset(scope for scope in granted if isinstance(scope, str)))

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed, including access to the data of all users."""
        return ADMIN in self.granted

    def allows(self, scope: str, resource_id: str | None = None) -> bool:
        """Whether ``scope`` (``resource:action``) is granted for all resources, or for the one with ``resource_id``."""
        if self.is_admin or scope in self.granted:
            return True
        # Only by its own name: `agent_os:*:admin` must not grant it.
        if scope == ADMIN:
            return False
        resource, action = scope.split(":")
        if f"{resource}:*:{action}" in self.granted:
            return True
        return resource_id is not None and f"{resource}:{resource_id}:{action}" in self.granted

    def allows_some(self, resource: str, actions: Collection[str]) -> bool:
        """Whether one of the actions is granted for at least one resource of this kind."""
        if self.is_admin:
            return True
        granted = (scope.split(":") for scope in self.granted)
        return any(len(parts) > 1 and parts[0] == resource and parts[-1] in actions for parts in granted)


EVERYTHING = Scopes(frozenset({ADMIN}))


def is_scope(text: str) -> bool:
    """Whether ``text`` has the form of a scope: ``resource:action`` or ``resource:id:action``."""
    parts = text.split(":")
    return len(text) <= MAX_LENGTH and text.isprintable() and len(parts) > 1 and all(parts) and " " not in text
