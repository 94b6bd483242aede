"""What a test or a replay is given: declarations, or a registry of them."""

from collections.abc import Sequence
from typing import TypeAlias

from musterd.declare import Agent, Registry, Team, Workflow

Declared: TypeAlias = "Agent | Team | Workflow | Registry"
"""An agent, a team or a workflow; or what :func:`musterd.declare.load` returned, alone."""


def registry_of(declared: Sequence[Declared]) -> Registry:
    """The registry of these declarations.

    :raises DeclarationError: a declaration is wrong.
    """
    match declared:
        case [Registry() as registry]:
            return registry
    return Registry.of(
        teams=[item for item in declared if isinstance(item, Team)],
        agents=[item for item in declared if isinstance(item, Agent)],
        workflows=[item for item in declared if isinstance(item, Workflow)],
    )
