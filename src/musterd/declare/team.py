"""Teams: a leader with members to which it delegates."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.declaration import Declaration
from musterd.declare.options import FLAG, MODE, ON_BUSY, Kind, about
from musterd.declare.problems import noting_problems
from musterd.declare.run_context import check_callable
from musterd.declare.source_location import declaration_error, describe_type
from musterd.declare.team_options import TeamOptions

_MEMBERS = Kind(
    words="a list of agents and teams, or a function that gives one",
    accepts=lambda value: isinstance(value, list | tuple) or callable(value),
    yaml=list[str],
)
# The built-in tools of a leader in mode "tasks".
_TASK_LIST = frozenset(
    {
        "add_task_note",
        "create_task",
        "execute_task",
        "execute_tasks_parallel",
        "list_tasks",
        "mark_all_complete",
        "update_task_status",
    }
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Team(TeamOptions, Declaration):
    """A leader with members, which may be teams themselves.

    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "team"

    members: Sequence[Agent | Team] | Callable[..., Any] = field(
        default=(),
        metadata=about(
            _MEMBERS,
            "Agents and teams that the leader delegates to (in YAML their ids); in Python also a function that gives "
            "them for each run.",
        ),
    )
    mode: str = field(
        default="coordinate",
        metadata=about(MODE, "How the leader works: `coordinate`, `route`, `broadcast` or `tasks`."),
    )
    store_member_responses: bool = field(
        default=False, metadata=about(FLAG, "Show members' whole runs in the team's result.")
    )
    stream_member_events: bool = field(default=True, metadata=about(FLAG, "Show members' events in the team's stream."))
    on_busy: str = field(
        default="enqueue",
        metadata=about(
            ON_BUSY,
            "What a new run does while another of its session is at work, unless its request says it: `enqueue`, "
            "`reject`, `interrupt` or `parallel`.",
        ),
    )
    hold_paused: bool = field(
        default=False,
        metadata=about(FLAG, "Later runs of a session wait while one of them waits for a person."),
    )
    member_function: Callable[..., Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check the members, and translate Agno's older options for modes."""
        super().__post_init__()
        if callable(self.members):
            with noting_problems(self.declared_at):
                check_callable(self.members, f"{self.label}: the function in 'members'", self.declared_at)
            self._set("member_function", self.members)
            self._set("members", ())
        self._set("members", self.checked_members(self.members))
        if self.mode == "coordinate":
            mode = "route" if self.respond_directly else "broadcast" if self.delegate_to_all_members else self.mode
            self._set("mode", mode)

    @property
    def reserved_tool_names(self) -> frozenset[str]:
        """Names that the leader's tools must not have, because built-in tools have them."""
        names = super().reserved_tool_names
        return names | _TASK_LIST if self.mode == "tasks" else names

    def checked_members(self, candidates: Any) -> tuple[Agent | Team, ...]:
        """The valid members in a list. A problem is noted for each invalid one."""
        members: list[Agent | Team] = []
        ids: set[str] = set()
        for member in candidates:
            with noting_problems(self.declared_at):
                self._check_member(member, ids)
                members.append(member)
                ids.add(member.id)
        return tuple(members)

    def _check_member(self, member: Any, ids: Container[str]) -> None:
        if not isinstance(member, Agent | Team):
            problem = f"{self.label}: a member is {describe_type(member)}"
            raise declaration_error(
                self.declared_at, problem, "list Agent(…) and Team(…) objects of musterd in members="
            )
        if member.id and member.id in ids:
            problem = f"{self.label} has two members with the id '{member.id}'"
            raise declaration_error(self.declared_at, problem, "list a member once, or give one another id")
