"""Options of AgentOS teams whose behaviour arrives with later versions.

A port keeps them: a declaration takes them, and a run of a component that uses one is refused in words. An
option leaves this room when the loop learns it. One without ``later`` only modifies another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.specs.options import ANYTHING, COUNT, FLAG, POSITIVE, TEXT, Declared, about

_STORE = "remove it: musterd keeps every run and event in its own database (musterd serve --db)"
_REQUEST = "remove it: each request says it"
_RETRY = "remove it: failing providers are tried again by the server (MUSTERD_MODEL_TRIES)"
_LOG = "remove it: the server's log says what happens"

# Fields of Agno that have no meaning on a server that owns its runs, each with what to do.
REMOVED: dict[str, str] = {
    "db": _STORE,
    "cache_session": _STORE,
    "store_events": _STORE,
    "events_to_skip": _STORE,
    "stream": _REQUEST,
    "stream_events": _REQUEST,
    "user_id": _REQUEST,
    "session_id": _REQUEST,
    "retries": _RETRY,
    "delay_between_retries": _RETRY,
    "exponential_backoff": _RETRY,
    "debug_mode": _LOG,
    "debug_level": _LOG,
    "show_members_responses": _LOG,
    "telemetry": "remove it: musterd sends nothing anywhere",
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LaterOptions(Declared):
    """What agents and teams may say already and a run cannot do yet."""

    removed = REMOVED

    # What the prompt is made of
    system_message: Any = field(
        default=None,
        metadata=about(ANYTHING, "Replaces the whole system prompt.", later=True, yaml=str),
    )
    introduction: str | None = field(default=None, metadata=about(TEXT, "First message of a session.", later=True))
    expected_output: str | None = field(
        default=None, metadata=about(TEXT, "What the answer should look like.", later=True)
    )
    additional_context: str | None = field(
        default=None, metadata=about(TEXT, "Text after the instructions.", later=True)
    )
    additional_input: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Few-shot messages.", later=True)
    )
    markdown: bool = field(default=False, metadata=about(FLAG, "Ask for Markdown.", later=True))
    use_instruction_tags: bool = field(default=False, metadata=about(FLAG, "Instructions in XML tags.", later=True))
    resolve_in_context: bool = field(default=False, metadata=about(FLAG, "Fill `{name}` in instructions.", later=True))
    add_name_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model its name.", later=True))
    add_datetime_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model the time.", later=True))
    timezone_identifier: str | None = field(default=None, metadata=about(TEXT, part_of="add_datetime_to_context"))
    add_location_to_context: bool = field(default=False, metadata=about(FLAG, "Tell the model the place.", later=True))
    add_dependencies_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "Show the dependencies to the model.", later=True),
    )

    # State and history
    add_session_state_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "Show the session state to the model.", later=True),
    )
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
    num_history_sessions: int | None = field(default=None, metadata=about(COUNT, part_of="search_session_history"))
    enable_session_summaries: bool = field(default=False, metadata=about(FLAG, "Sum sessions up.", later=True))
    session_summary_manager: Any = field(default=None, metadata=about(ANYTHING, "How to sum up.", later=True))
    add_session_summary_to_context: bool = field(default=False, metadata=about(FLAG, "Show the summary.", later=True))

    # Knowledge, memory, learning
    knowledge: Any = field(default=None, metadata=about(ANYTHING, "Documents to search.", later=True))
    knowledge_filters: Any = field(default=None, metadata=about(ANYTHING, part_of="knowledge"))
    knowledge_retriever: Any = field(default=None, metadata=about(ANYTHING, "A function that searches.", later=True))
    add_knowledge_to_context: bool = field(
        default=False, metadata=about(FLAG, "Found text goes into the prompt.", later=True)
    )
    search_knowledge: bool = field(default=True, metadata=about(FLAG, part_of="knowledge"))
    update_knowledge: bool = field(default=False, metadata=about(FLAG, "A tool that adds documents.", later=True))
    enable_agentic_knowledge_filters: bool = field(default=False, metadata=about(FLAG, part_of="knowledge"))
    memory_manager: Any = field(default=None, metadata=about(ANYTHING, "How users are remembered.", later=True))
    update_memory_on_run: bool = field(
        default=False, metadata=about(FLAG, "Remember users after each run.", later=True)
    )
    enable_user_memories: bool = field(
        default=False, metadata=about(FLAG, "The older name of `update_memory_on_run`.", later=True)
    )
    enable_agentic_memory: bool = field(
        default=False, metadata=about(FLAG, "A tool that changes memories.", later=True)
    )
    add_memories_to_context: bool = field(
        default=False, metadata=about(FLAG, "Show memories to the model.", later=True)
    )
    learning: Any = field(default=None, metadata=about(ANYTHING, "Learn from runs.", later=True, yaml=bool))

    # Input, output, tools, hooks, reasoning
    input_schema: Any = field(default=None, metadata=about(ANYTHING, "What a message must look like.", later=True))
    parser_model: Any = field(
        default=None,
        metadata=about(ANYTHING, "A model that parses the answer.", later=True, yaml=str),
    )
    parser_model_prompt: str | None = field(default=None, metadata=about(TEXT, part_of="parser_model"))
    output_model: Any = field(
        default=None,
        metadata=about(ANYTHING, "A model that words the answer.", later=True, yaml=str),
    )
    output_model_prompt: str | None = field(default=None, metadata=about(TEXT, part_of="output_model"))
    use_json_mode: bool = field(default=False, metadata=about(FLAG, "Structured output by JSON mode.", later=True))
    tool_choice: Any = field(default=None, metadata=about(ANYTHING, "Which tool must be called.", later=True, yaml=str))
    tool_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions around tool calls.", later=True)
    )
    pre_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions and guardrails before a run.", later=True)
    )
    post_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(ANYTHING, "Functions and guardrails after a run.", later=True)
    )
    compress_tool_results: bool = field(default=False, metadata=about(FLAG, "Shorten tool results.", later=True))
    compression_manager: Any = field(default=None, metadata=about(ANYTHING, part_of="compress_tool_results"))
    reasoning: bool = field(default=False, metadata=about(FLAG, "Think in steps first.", later=True))
    reasoning_model: Any = field(default=None, metadata=about(ANYTHING, "The model that thinks.", later=True, yaml=str))
    reasoning_agent: Any = field(default=None, metadata=about(ANYTHING, "The agent that thinks.", later=True))
    reasoning_min_steps: int = field(default=1, metadata=about(POSITIVE, part_of="reasoning"))
    reasoning_max_steps: int = field(default=10, metadata=about(POSITIVE, part_of="reasoning"))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LaterTeamOptions(LaterOptions):
    """What teams may say besides."""

    respond_directly: bool = field(default=False, metadata=about(FLAG, 'True means `"route"`.', part_of="mode"))
    delegate_to_all_members: bool = field(
        default=False, metadata=about(FLAG, 'True means `"broadcast"`.', part_of="mode")
    )
    determine_input_for_members: bool = field(
        default=True,
        metadata=about(FLAG, "False: members get the user's own words.", later=True),
    )
    share_member_interactions: bool = field(
        default=False,
        metadata=about(FLAG, "Members see what others were asked and said.", later=True),
    )
    add_team_history_to_members: bool = field(
        default=False,
        metadata=about(FLAG, "Members see the team's history.", later=True),
    )
    num_team_history_runs: int = field(default=3, metadata=about(COUNT, part_of="add_team_history_to_members"))
    get_member_information_tool: bool = field(
        default=False,
        metadata=about(FLAG, "A tool that describes the members.", later=True),
    )
    add_member_tools_to_context: bool = field(
        default=False,
        metadata=about(FLAG, "The leader sees its members' tools.", later=True),
    )
    max_iterations: int = field(
        default=10, metadata=about(POSITIVE, "In mode `tasks`: turns over the task list.", part_of="mode")
    )
