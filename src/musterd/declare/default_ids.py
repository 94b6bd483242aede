"""Ids of agents and teams that are declared without id and name.

Agno gives them a random id at each start. Here the id comes from the place of the declaration, so that it is the same
after a restart and on every process, and sessions and runs find their component again. A declaration at module level
has the id of its variable, one in a list that of its position: in ``create_app(agents=[…])`` ``agent-1``, among the
members of the team ``desk`` ``desk-1``.
"""

from collections.abc import Mapping, Sequence

from musterd.declare.agent import Agent
from musterd.declare.declaration import id_from_name
from musterd.declare.team import Team


def name_by_variables(declared: Mapping[str, Agent | Team]) -> None:
    """Give the declarations of a module that have no id those of their variables; the first variable counts."""
    for variable, spec in declared.items():
        known_as = id_from_name(variable.strip("_"))
        if not spec.id and known_as:
            spec.take_id(known_as)


def name_members(team: Team, members: Sequence[Agent | Team]) -> None:
    """Give the members of ``team`` that have no id those of their positions.

    :raises DeclarationError: two members have the same id now.
    """
    unnamed = [(number, member) for number, member in enumerate(members, start=1) if not member.id]
    for number, member in unnamed:
        if not member.id:  # the same declaration may be listed twice
            member.take_id(f"{team.id}-{number}")
    if unnamed:
        team.checked_members(members)
