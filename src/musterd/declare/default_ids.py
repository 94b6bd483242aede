"""Default ids of agents, teams, workflows and knowledge bases that are declared without id and name.

Agno generates a random id at each start. Here the id depends on where the declaration is, so it is the same after a
restart and in every process, and sessions and runs still find their component. The id of a declaration at module level
comes from its variable, and that of a list entry from its position: ``agent-1`` in ``create_app(agents=[…])``,
``desk-1`` among the members of the team ``desk`` or in the steps of the workflow ``desk``. A knowledge base without a
variable is called after the first agent that uses it: ``desk-knowledge``.
"""

from collections.abc import Mapping, Sequence

from musterd.declare.agent import Agent
from musterd.declare.declaration import id_from_name
from musterd.declare.knowledge import Knowledge
from musterd.declare.team import Team
from musterd.declare.workflow.workflow import Workflow


def assign_ids_from_variables(declarations: Mapping[str, Agent | Team | Workflow | Knowledge]) -> None:
    """Derive missing ids from the variables of a module. If a declaration has several variables, the first counts."""
    for variable, spec in declarations.items():
        component_id = id_from_name(variable.strip("_"))
        if not spec.id and component_id:
            spec.assign_id(component_id)


def assign_member_ids(team: Team, members: Sequence[Agent | Team]) -> None:
    """Derive missing ids of the members of ``team`` from their positions.

    :raises DeclarationError: two members then have the same id.
    """
    unnamed = [(number, member) for number, member in enumerate(members, start=1) if not member.id]
    for number, member in unnamed:
        if not member.id:  # the same declaration may be listed twice
            member.assign_id(f"{team.id}-{number}")
    if unnamed:
        team.checked_members(members)


def assign_knowledge_id(spec: Agent | Team) -> None:
    """Derive a missing id of the knowledge base of ``spec`` from its own."""
    if spec.knowledge is not None and not spec.knowledge.id:
        spec.knowledge.assign_id(f"{spec.id}-knowledge")


def assign_component_ids(workflow: Workflow) -> None:
    """Derive missing ids of what the steps of ``workflow`` run from their positions."""
    for number, spec in enumerate(workflow.components, start=1):
        if not spec.id:
            spec.assign_id(f"{workflow.id}-{number}")
