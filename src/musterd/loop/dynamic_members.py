"""Dynamic members: ``members=function`` in place of a list, called for each run.

Each attempt calls the function again. If a member of an earlier attempt is gone, the leader reads a failed tool result,
just as when a deploy has removed a member.
"""

from dataclasses import replace
from typing import cast

from musterd.core.errors import DeclarationError, RunFailed
from musterd.declare import Team
from musterd.declare.registry import with_members
from musterd.loop.assignment import Assignment, C
from musterd.loop.context_functions import call_declared_function
from musterd.loop.run_tree import RunTree

FAILED = "members_failed"
"""The error code of a run whose members could not be determined."""


async def with_dynamic_members(tree: RunTree, run: Assignment[C]) -> Assignment[C]:
    """The run with the members that its team's function returns; a run without such a function is unchanged.

    :raises RunFailed: the function failed, or what it returned cannot be the team's members.
    """
    spec = run.component.spec
    if not isinstance(spec, Team) or spec.member_function is None:
        return run
    team = cast("Assignment", run)
    members = await call_declared_function(tree, team, "members", spec.member_function)
    if not isinstance(members, list | tuple):
        raise RunFailed(
            f"{spec.label}: the function in members returned a {type(members).__name__}, not a list", FAILED
        )
    try:
        component = with_members(team.component, members)
    except DeclarationError as error:
        raise RunFailed(
            f"{spec.label}: the function in members returned invalid members: {error.message}", FAILED
        ) from error
    await tree.models.load(component)
    return cast("Assignment[C]", replace(team, component=component))
