"""An agent: a model with instructions and tools."""

from dataclasses import dataclass

from musterd.declare.declaration import Declaration


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Agent(Declaration):
    """A model with instructions and tools, served by itself or as a member of teams.

    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "agent"
