"""Options of agents and teams: how a run reads and changes its session."""

from dataclasses import dataclass, field

from musterd.declare.options import COUNT, FLAG, POSITIVE, Kind, about
from musterd.declare.summary_manager import SessionSummaryManager

_MANAGER = Kind(words="a SessionSummaryManager(…)", accepts=lambda value: isinstance(value, SessionSummaryManager))

UPDATE_STATE = "update_session_state"
CHAT_HISTORY = "get_chat_history"
PREVIOUS_SESSIONS = "get_previous_session_messages"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SessionOptions:
    """How a run reads and changes its session."""

    enable_agentic_state: bool = field(
        default=False,
        metadata=about(FLAG, f"A tool, `{UPDATE_STATE}`, with which its model changes the session state."),
    )
    overwrite_db_session_state: bool = field(
        default=False,
        metadata=about(FLAG, "A run begins with the declared state and the request's, not with what is stored."),
    )
    num_history_messages: int | None = field(
        default=None,
        metadata=about(
            POSITIVE, "The history by its last messages, in place of `num_history_runs`; a tool's result is one."
        ),
    )
    max_tool_calls_from_history: int | None = field(
        default=None,
        metadata=about(COUNT, "Only the last tool calls of the history are shown, with their results."),
    )
    read_chat_history: bool = field(
        default=False,
        metadata=about(FLAG, f"A tool, `{CHAT_HISTORY}`, with which its model reads what was said before."),
    )
    search_session_history: bool = field(
        default=False,
        metadata=about(
            FLAG,
            f"A tool, `{PREVIOUS_SESSIONS}`, with which its model reads the same user's other sessions of the agent "
            "or team.",
        ),
    )
    num_history_sessions: int | None = field(
        default=None, metadata=about(POSITIVE, "How many sessions; 2 without.", part_of="search_session_history")
    )
    enable_session_summaries: bool = field(
        default=False, metadata=about(FLAG, "After each run that completes its model sums the session up.")
    )
    session_summary_manager: SessionSummaryManager | None = field(
        default=None,
        metadata=about(_MANAGER, "How, and with which model, sessions are summed up; given, they are."),
    )
    add_session_summary_to_context: bool | None = field(
        default=None,
        metadata=about(FLAG, "Show the session's summary to its model; not given: where it sums sessions up."),
    )

    @property
    def sums_up(self) -> bool:
        """Whether sessions are summarized."""
        return self.enable_session_summaries or self.session_summary_manager is not None

    @property
    def shows_summary(self) -> bool:
        """Whether the model sees the summary of the session."""
        setting = self.add_session_summary_to_context
        return self.sums_up if setting is None else setting

    @property
    def session_tool_names(self) -> frozenset[str]:
        """The names of the tools that these options add."""
        names = {
            UPDATE_STATE: self.enable_agentic_state,
            CHAT_HISTORY: self.read_chat_history,
            PREVIOUS_SESSIONS: self.search_session_history,
        }
        return frozenset(name for name, is_enabled in names.items() if is_enabled)
