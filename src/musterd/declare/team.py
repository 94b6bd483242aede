"""Teams: a leader with members to which it delegates."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.declaration import Declaration
from musterd.declare.options import COUNT, FLAG, MODE, ON_BUSY, POSITIVE, Kind, about
from musterd.declare.problems import noting_problems
from musterd.declare.run_context import check_callable
from musterd.declare.source_location import declaration_error, describe_type

_MEMBERS = Kind(
    words="a list of agents and teams, or a function that returns one",
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
class Team(Declaration):
    """A leader with members, which may be teams themselves.

    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "team"

    members: Sequence[Agent | Team] | Callable[..., Any] = field(
        default=(),
        metadata=about(
            _MEMBERS,
            "Agents and teams that the leader delegates to (in YAML their ids); in Python also a function that "
            "returns them for each run.",
        ),
    )
    mode: str = field(
        default="coordinate",
        metadata=about(MODE, "How the leader works: `coordinate`, `route`, `broadcast` or `tasks`."),
    )
    store_member_responses: bool = field(
        default=False, metadata=about(FLAG, "Include members' runs in the team's run output.")
    )
    stream_member_events: bool = field(
        default=True, metadata=about(FLAG, "Include members' events in the team's stream.")
    )
    on_busy: str = field(
        default="enqueue",
        metadata=about(
            ON_BUSY,
            "What a new run does while another run of its session is active, unless the request sets it: "
            "`enqueue`, `reject`, `interrupt` or `parallel`.",
        ),
    )
    hold_paused: bool = field(
        default=False,
        metadata=about(FLAG, "Keep later runs of a session waiting while one is paused."),
    )
    respond_directly: bool = field(default=False, metadata=about(FLAG, 'True means `"route"`.', part_of="mode"))
    delegate_to_all_members: bool = field(
        default=False, metadata=about(FLAG, 'True means `"broadcast"`.', part_of="mode")
    )
    determine_input_for_members: bool = field(
        default=True,
        metadata=about(FLAG, "False: members get the user's message unchanged."),
    )
    share_member_interactions: bool = field(
        default=False,
        metadata=about(FLAG, "Members see the tasks and results of other members."),
    )
    add_team_history_to_members: bool = field(
        default=False,
        metadata=about(FLAG, "Members see the inputs and answers of the team's earlier runs."),
    )
    num_team_history_runs: int = field(
        default=3, metadata=about(COUNT, "How many runs.", part_of="add_team_history_to_members")
    )
    get_member_information_tool: bool = field(
        default=False,
        metadata=about(FLAG, "Add a tool that describes the members."),
    )
    add_member_tools_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "Describe members' tools to the leader, not only their names."),
    )
    max_iterations: int = field(
        default=10, metadata=about(POSITIVE, "In mode `tasks`: the most turns over the task list.", part_of="mode")
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
