"""An agent and a team with an option that is accepted but not supported yet, as options may be that come later."""

from dataclasses import dataclass, field

from musterd import Agent, Team
from musterd.declare.options import FLAG, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LaterAgent(Agent):
    """An agent with such an option."""

    dreams: bool = field(default=False, metadata=about(FLAG, "Dream.", later=True))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LaterTeam(Team):
    """A team with such an option."""

    dreams: bool = field(default=False, metadata=about(FLAG, "Dream.", later=True))
