"""Members that a function gives for one run: ``members=function`` in place of a list.

Each attempt asks the function. A member that it gave to an earlier one and is gone is a failed result of the leader, as
one that a deploy took away.
"""

from dataclasses import replace

from musterd.core.errors import DeclarationError, RunFailed
from musterd.declare import Team
from musterd.declare.registry import with_members
from musterd.loop.assignment import Assignment
from musterd.loop.context_functions import called
from musterd.loop.run_tree import RunTree

FAILED = "members_failed"
"""The code of a run whose members could not be had."""


async def staffed(world: RunTree, run: Assignment) -> Assignment:
    """The run with the members that its team's function gives; any other run as it is.

    :raises RunFailed: the function failed, or what it gave cannot be the team's members.
    """
    spec = run.component.spec
    if not isinstance(spec, Team) or spec.member_function is None:
        return run
    given = await called(world, run, "members", spec.member_function)
    if not isinstance(given, list | tuple):
        raise RunFailed(f"{spec.label}: the function in members gave a {type(given).__name__} and no list", FAILED)
    try:
        component = with_members(run.component, given)
    except DeclarationError as error:
        raise RunFailed(
            f"{spec.label}: the function in members gave what cannot be: {error.message}", FAILED
        ) from error
    if component.gaps:
        raise RunFailed(" ".join(component.gaps), FAILED)
    await world.models.load(component)
    return replace(run, component=component)
