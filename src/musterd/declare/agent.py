"""An agent: a model with instructions and tools."""

from dataclasses import dataclass

from musterd.declare.declaration import Declaration


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Agent(Declaration):
    """A model with instructions and tools; alone, or as a member of teams.

    Fields are listed in ``docs/reference/teams.md``.

    :raises DeclarationError: a field is unknown or has a value that it cannot have; one line says where
        and what to do.
    """

    kind = "agent"
