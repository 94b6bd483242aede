"""Options of agents and teams: what a run knows of its session, and how it changes it."""

from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, COUNT, FLAG, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SessionOptions:
    """What a run knows of its session, and how it changes it."""

    enable_agentic_state: bool = field(
        default=False, metadata=about(FLAG, "A tool that changes the state.", later=True)
    )
    overwrite_db_session_state: bool = field(
        default=False,
        metadata=about(FLAG, "The declared state replaces the stored one.", later=True),
    )
    num_history_messages: int | None = field(default=None, metadata=about(COUNT, "History by messages.", later=True))
    max_tool_calls_from_history: int | None = field(
        default=None,
        metadata=about(COUNT, "Tool calls kept in the history.", later=True),
    )
    read_chat_history: bool = field(default=False, metadata=about(FLAG, "A tool that reads the history.", later=True))
    search_session_history: bool = field(default=False, metadata=about(FLAG, "A tool over other sessions.", later=True))
    num_history_sessions: int | None = field(
        default=None, metadata=about(COUNT, later=True, part_of="search_session_history")
    )
    enable_session_summaries: bool = field(default=False, metadata=about(FLAG, "Sum sessions up.", later=True))
    session_summary_manager: Any = field(default=None, metadata=about(ANYTHING, "How to sum up.", later=True))
    add_session_summary_to_context: bool = field(default=False, metadata=about(FLAG, "Show the summary.", later=True))
