"""Options of teams: how a leader works with its members."""

from dataclasses import dataclass, field

from musterd.declare.options import COUNT, FLAG, POSITIVE, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TeamOptions:
    """How a leader works with its members."""

    respond_directly: bool = field(default=False, metadata=about(FLAG, 'True means `"route"`.', part_of="mode"))
    delegate_to_all_members: bool = field(
        default=False, metadata=about(FLAG, 'True means `"broadcast"`.', part_of="mode")
    )
    determine_input_for_members: bool = field(
        default=True,
        metadata=about(FLAG, "False: members get the user's own words."),
    )
    share_member_interactions: bool = field(
        default=False,
        metadata=about(FLAG, "Members see what others were asked and said."),
    )
    add_team_history_to_members: bool = field(
        default=False,
        metadata=about(FLAG, "Members are told what earlier runs of the team were asked and answered."),
    )
    num_team_history_runs: int = field(
        default=3, metadata=about(COUNT, "How many runs.", part_of="add_team_history_to_members")
    )
    get_member_information_tool: bool = field(
        default=False,
        metadata=about(FLAG, "A tool that describes the members."),
    )
    add_member_tools_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "The leader is told what its members' tools do, not only their names."),
    )
    max_iterations: int = field(
        default=10, metadata=about(POSITIVE, "In mode `tasks`: turns over the task list.", part_of="mode")
    )
