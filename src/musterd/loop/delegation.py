"""Delegation: how a leader hands work to members, in each mode.

A call of a delegation tool becomes a :class:`Delegations`: the members' runs that it starts, and how their answers
become the call's result. ``coordinate`` and ``route`` delegate to one member per call, ``broadcast`` to all at once.
The mode ``tasks`` has its own tools (:mod:`musterd.loop.task_runs`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_ai.tools import ToolDefinition

from musterd.core.jsontypes import JsonObject
from musterd.declare import Component, Team
from musterd.loop.assignment import Assignment
from musterd.loop.builtin_tools import EmitAtStep
from musterd.loop.prompts import describe_member
from musterd.loop.steps import ToolStep

DELEGATE = "delegate_task_to_member"
BROADCAST = "delegate_task_to_members"


class Refused(Exception):
    """A tool call that is not made; the message tells the model what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedRun:
    """A member's run that a call starts.

    :param path: its place in the run tree.
    :param task: the text of the member's task.
    """

    path: str
    member: Component
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedResult:
    """The result of a call that starts several runs, or that changes the state in addition to starting one."""

    result: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegations:
    """The members' runs that one call starts.

    :param join: turns their results into the call's; it may change the state that it is passed, and emit events.
        None: the call itself is the only member's run, and they have the same path.
    :param begin: changes the state and emits events before the runs start.
    """

    runs: tuple[DelegatedRun, ...]
    join: Callable[[Sequence[ToolStep], JsonObject, EmitAtStep], JoinedResult] | None = None
    begin: Callable[[JsonObject, EmitAtStep], None] | None = None


def delegation_tools(team: Component) -> list[ToolDefinition]:
    """The tools with which a leader delegates, named as in Agno."""
    spec = team.spec
    if not isinstance(spec, Team) or not team.members or spec.mode == "tasks":
        return []
    has_task = spec.determine_input_for_members
    if spec.mode == "broadcast":
        description = "Delegate one task to all members of the team at once and get each one's answer."
        return [_definition(BROADCAST, description, {"task": _TASK} if has_task else {})]
    member = {"member_id": {"type": "string", "description": "The id of the member, as listed."}}
    description = "Delegate one task to one member of the team."
    return [_definition(DELEGATE, description, {**member, "task": _TASK} if has_task else member)]


_TASK = {"type": "string", "description": "The task and the output expected, clear and concise."}
_STATE_IT = "State the task completely, with the output you expect: the member sees nothing else."
_VERBATIM = "The member gets the user's own words."


def _definition(name: str, description: str, properties: JsonObject) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=f"{description} {_STATE_IT if 'task' in properties else _VERBATIM}",
        parameters_json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


def is_delegation(team: Component, name: str) -> bool:
    """Whether a call of ``name`` starts members' runs through :func:`delegations_of`."""
    return name in (DELEGATE, BROADCAST) and isinstance(team.spec, Team)


def delegations_of(run: Assignment, name: str, arguments: JsonObject, path: str) -> Delegations:
    """The members' runs that a call of ``name`` starts.

    :param path: the call's place in the tree.
    :raises Refused: the call is invalid.
    """
    names = [tool.name for tool in delegation_tools(run.component)]
    if name not in names and run.component.members:
        raise Refused(f"There is no tool '{name}'." + (f" Delegate with {', '.join(names)}." if names else ""))
    required = [*(["member_id"] if name == DELEGATE else []), *(["task"] if leader_words_tasks(run.component) else [])]
    if not all(isinstance(value := arguments.get(parameter), str) and value.strip() for parameter in required):
        texts = "both texts" if len(required) > 1 else "a text"
        raise Refused(f"{name} takes {' and '.join(required)}, {texts} not empty.")
    task = arguments["task"] if leader_words_tasks(run.component) else prompt_text(run)
    if name == BROADCAST:
        members = run.component.members
        if not members:
            raise Refused("There are no members to delegate to.")
        runs = [DelegatedRun(path=f"{path}/{index}", member=member, task=task) for index, member in enumerate(members)]
        return Delegations(runs=tuple(runs), join=lambda steps, state, emit: _joined_answers(members, steps))
    member = find_member(run.component, arguments["member_id"])
    return Delegations(runs=(DelegatedRun(path=path, member=member, task=task),))


def leader_words_tasks(component: Component) -> bool:
    """Whether a leader writes its members' tasks. Otherwise members get the leader's own input, with its media."""
    spec = component.spec
    return not isinstance(spec, Team) or spec.determine_input_for_members


def prompt_text(run: Assignment) -> str:
    """The text of a run's prompt, without media."""
    parts = [run.prompt] if isinstance(run.prompt, str) else run.prompt
    return "\n".join(part for part in parts if isinstance(part, str))


def find_member(team: Component, member_id: str) -> Component:
    """The member with this id, or the member team that contains it.

    :raises Refused: there is none.
    """
    for member in team.members:
        if member.id == member_id or _contains(member, member_id):
            return member
    descriptions = "\n".join(describe_member(member) for member in team.members) or "none"
    raise Refused(f"There is no member '{member_id}'. Members:\n{descriptions}")


def _contains(team: Component, member_id: str) -> bool:
    return any(member.id == member_id or _contains(member, member_id) for member in team.members)


def _joined_answers(members: Sequence[Component], steps: Sequence[ToolStep]) -> JoinedResult:
    answers = [
        f"{member.kind.capitalize()} {member.name}: {step.result}" for member, step in zip(members, steps, strict=True)
    ]
    return JoinedResult(result="\n\n".join(answers), is_error=bool(steps) and all(step.is_error for step in steps))
