"""Delegation: how a leader hands work to members, in each mode.

A call of one of these tools becomes a :class:`Delegations`: the members' runs that it starts, and how their answers
become the call's result. ``coordinate`` and ``route`` delegate to one member a call, ``broadcast`` to all at once;
the mode ``tasks`` has its own (:mod:`musterd.loop.task_runs`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_ai.tools import ToolDefinition

from musterd.core.jsontypes import JsonObject
from musterd.declare import Component, Team
from musterd.loop.assignment import Assignment
from musterd.loop.builtin_tools import Tell
from musterd.loop.prompts import describe_member
from musterd.loop.steps import ToolStep

DELEGATE = "delegate_task_to_member"
BROADCAST = "delegate_task_to_members"


class Refused(Exception):
    """A call that is not made; the message tells the model what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """A member's run that a call starts.

    :param path: its place in the tree.
    :param task: what the member is asked.
    """

    path: str
    member: Component
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What comes of a call that started several runs, or that does more than starting one."""

    result: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegations:
    """The members' runs that one call starts.

    :param join: how their results become the call's; it may change the state that it is given, and tell of it. None:
        the call is the member's run, and has its path.
    :param begin: what it changes in the state, and tells, before they start.
    """

    runs: tuple[Delegated, ...]
    join: Callable[[Sequence[ToolStep], JsonObject, Tell], Joined] | None = None
    begin: Callable[[JsonObject, Tell], None] | None = None


def delegation_tools(team: Component) -> list[ToolDefinition]:
    """The tools with which a leader delegates, in the peer's vocabulary."""
    spec = team.spec
    if not isinstance(spec, Team) or not team.members or spec.mode == "tasks":
        return []
    words_it = spec.determine_input_for_members
    if spec.mode == "broadcast":
        said = "Delegate one task to all members of the team at once and get each one's answer."
        return [_definition(BROADCAST, said, {"task": _TASK} if words_it else {})]
    member = {"member_id": {"type": "string", "description": "The id of the member, as listed."}}
    said = "Delegate one task to one member of the team."
    return [_definition(DELEGATE, said, {**member, "task": _TASK} if words_it else member)]


_TASK = {"type": "string", "description": "The task and the output expected, clear and concise."}
_STATE_IT = "State the task completely, with the output you expect: the member sees nothing else."
_VERBATIM = "The member gets the user's own words."


def _definition(name: str, said: str, properties: JsonObject) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=f"{said} {_STATE_IT if 'task' in properties else _VERBATIM}",
        parameters_json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


def is_delegation(team: Component, name: str) -> bool:
    """Whether a call of ``name`` starts members' runs by :func:`delegations_of`."""
    return name in (DELEGATE, BROADCAST) and isinstance(team.spec, Team)


def delegations_of(run: Assignment, name: str, arguments: JsonObject, path: str) -> Delegations:
    """The members' runs that a call of ``name`` starts.

    :param path: the call's place in the tree.
    :raises Refused: the call cannot be made so.
    """
    offered = [tool.name for tool in delegation_tools(run.component)]
    if name not in offered and run.component.members:
        raise Refused(f"There is no tool '{name}'." + (f" Delegate with {', '.join(offered)}." if offered else ""))
    takes = [*(["member_id"] if name == DELEGATE else []), *(["task"] if words_tasks(run.component) else [])]
    if not all(isinstance(given := arguments.get(one), str) and given.strip() for one in takes):
        raise Refused(f"{name} takes {' and '.join(takes)}, {'both texts' if len(takes) > 1 else 'a text'} not empty.")
    task = arguments["task"] if words_tasks(run.component) else prompt_text(run)
    if name == BROADCAST:
        members = run.component.members
        if not members:
            raise Refused("There are no members to delegate to.")
        runs = [Delegated(path=f"{path}/{place}", member=member, task=task) for place, member in enumerate(members)]
        return Delegations(runs=tuple(runs), join=lambda steps, state, tell: _each_in_turn(members, steps))
    member = member_of(run.component, arguments["member_id"])
    return Delegations(runs=(Delegated(path=path, member=member, task=task),))


def words_tasks(component: Component) -> bool:
    """Whether a leader words its members' tasks; else they get what the leader was asked, media and all."""
    spec = component.spec
    return not isinstance(spec, Team) or spec.determine_input_for_members


def prompt_text(run: Assignment) -> str:
    """The text of what a run was asked."""
    parts = [run.prompt] if isinstance(run.prompt, str) else run.prompt
    return "\n".join(part for part in parts if isinstance(part, str))


def member_of(team: Component, member_id: str) -> Component:
    """The member with this id, or the one whose team has it below.

    :raises Refused: there is none.
    """
    for member in team.members:
        if member.id == member_id or _has_below(member, member_id):
            return member
    listed = "\n".join(describe_member(member) for member in team.members) or "none"
    raise Refused(f"There is no member '{member_id}'. Members:\n{listed}")


def _has_below(team: Component, member_id: str) -> bool:
    return any(member.id == member_id or _has_below(member, member_id) for member in team.members)


def _each_in_turn(members: Sequence[Component], steps: Sequence[ToolStep]) -> Joined:
    said = [
        f"{member.kind.capitalize()} {member.name}: {step.result}" for member, step in zip(members, steps, strict=True)
    ]
    return Joined(result="\n\n".join(said), is_error=bool(steps) and all(step.is_error for step in steps))
