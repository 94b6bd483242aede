"""The options that agents and teams have in common, one table.

Each is a field with its default, the :class:`Kind` of its values and one sentence for the reference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from musterd.declare.budget import Budget
from musterd.declare.compression_manager import CompressionManager
from musterd.declare.hooks import HOOKS
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import (
    COUNT,
    FLAG,
    MODEL,
    OBJECT,
    ON_UNKNOWN,
    POSITIVE,
    SCHEMA,
    TEXT,
    TEXTS,
    TOOLS,
    Declared,
    Kind,
    about,
    one_of,
)
from musterd.declare.summary_manager import SessionSummaryManager
from musterd.declare.tool_choice import read_tool_choice

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_ai.models import Model

    from musterd.declare.knowledge import Knowledge

UPDATE_STATE = "update_session_state"
CHAT_HISTORY = "get_chat_history"
PREVIOUS_SESSIONS = "get_previous_session_messages"
SEARCH_KNOWLEDGE = "search_knowledge_base"
ADD_TO_KNOWLEDGE = "add_to_knowledge"
UPDATE_MEMORY = "update_user_memory"

ROLES = ("user", "assistant", "system")
"""The roles of messages in ``additional_input``."""


def is_example(value: Any) -> bool:
    """Whether ``value`` may be in ``additional_input``: a text, a role with content, or a pydantic-ai message."""
    if isinstance(value, str):
        return True
    if isinstance(value, Mapping):
        return value.get("role") in ROLES and isinstance(value.get("content"), str) and len(value) == 2
    messages = sys.modules.get("pydantic_ai.messages")
    return messages is not None and isinstance(value, messages.ModelRequest | messages.ModelResponse)


def _is_list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(accepts, value))


_AGENT = Kind(words="an Agent(…)", accepts=lambda value: getattr(value, "kind", "") == "agent")
_BUDGET = Kind(words="a Budget(…)", accepts=lambda value: isinstance(value, Budget))
_COMPRESSION = Kind(words="a CompressionManager(…)", accepts=lambda value: isinstance(value, CompressionManager))
_EXAMPLES = Kind(
    words='a list of strings and of {"role": "user" or "assistant", "content": "…"}',
    accepts=_is_list_of(is_example),
    yaml=list[str | dict[str, str]],
)
_FILTERS = Kind(
    words="a dict like {'country': 'no'}, or an expression or a list of expressions of musterd.filters",
    accepts=lambda value: isinstance(value, Mapping | list | tuple) or hasattr(value, "to_dict"),
    yaml=dict[str, Any] | list[dict[str, Any]],
)
_FUNCTION = Kind(words="a function", accepts=lambda value: callable(value) and not isinstance(value, type), yaml=str)
_INSTRUCTIONS = Kind(
    words="a string or a list of strings, or a function that returns one",
    accepts=lambda value: TEXTS.accepts(value) or callable(value),
    yaml=TEXTS.yaml,
)
_LEARNING = Kind(
    words="True or False; a MemoryManager(…) says what to learn",
    accepts=lambda value: isinstance(value, bool),
    yaml=bool,
)
_KNOWLEDGE = Kind(words="a Knowledge(…)", accepts=lambda value: getattr(value, "kind", "") == "knowledge", yaml=str)
_MANAGER = Kind(words="a SessionSummaryManager(…)", accepts=lambda value: isinstance(value, SessionSummaryManager))
_MEMORY_MANAGER = Kind(words="a MemoryManager(…)", accepts=lambda value: isinstance(value, MemoryManager))
_SYSTEM_MESSAGE = Kind(
    words="a string or a function that returns one",
    accepts=lambda value: isinstance(value, str) or callable(value),
    yaml=str,
)
_TOOL_CHOICE = Kind(
    words='"auto", "none", "required", or the name of a tool',
    accepts=lambda value: read_tool_choice(value) is not None,
    yaml=str,
)
_TOOL_HOOKS = Kind(words="a list of functions", accepts=_is_list_of(callable))


def _prompt(kind: Kind, doc: str, **facts: Any) -> dict[str, Any]:
    """The metadata of an option that changes the prompt."""
    return about(kind, doc, in_prompt=True, **facts)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ComponentOptions(Declared):
    """The options of agents and teams."""

    id: str = field(
        default="",
        metadata=about(
            TEXT,
            "The id in URLs and delegations; by default derived from `name` or from the position.",
        ),
    )
    name: str | None = field(default=None, metadata=about(TEXT, "The display name; defaults to the id."))
    role: str | None = field(
        default=None, metadata=about(TEXT, "What it is for; the leader uses this to choose a member.")
    )
    description: str | None = field(
        default=None, metadata=about(TEXT, "Who it is; the first text of the system prompt.")
    )
    instructions: str | Sequence[str] | Callable[..., Any] | None = field(
        default=None,
        metadata=about(_INSTRUCTIONS, "Instructions for the model; in Python also a function that returns them."),
    )
    model: str | Model | None = field(
        default=None,
        metadata=about(
            MODEL,
            "`provider:name`, `local` or `scripted`; in Python also a pydantic-ai Model; default: the leader's.",
        ),
    )
    tools: Any = field(
        default=(),
        metadata=about(
            TOOLS,
            "Tools for the model: functions and toolkits (in YAML `pkg.mod:name`), the name of a toolkit of musterd "
            "(`schedules`), MCP servers (in YAML `mcp: {…}`); or a function that returns such a list for each run.",
        ),
    )
    output_schema: type[BaseModel] | Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            SCHEMA,
            "The schema of the answer: a pydantic model class (in YAML `pkg.mod:Class`) or a JSON schema.",
        ),
    )
    add_history_to_context: bool = field(
        default=False, metadata=about(FLAG, "Include earlier runs of the session in the model's context.")
    )
    num_history_runs: int = field(
        default=3, metadata=about(COUNT, "How many earlier runs `add_history_to_context` includes.")
    )
    session_state: Mapping[str, Any] | None = field(
        default=None,
        metadata=about(OBJECT, "The initial state of a new session; tools may change it."),
    )
    dependencies: Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            OBJECT,
            "Values for tools and prompt texts; not stored. In Python, a function is called once per run, and its "
            "result is stored with the run if it is JSON.",
        ),
    )
    metadata: Mapping[str, Any] | None = field(
        default=None, metadata=about(OBJECT, "Values that are returned with every run.")
    )
    tool_call_limit: int | None = field(default=None, metadata=about(COUNT, "The most tool calls in one run."))
    max_turns: int | None = field(
        default=None,
        metadata=about(POSITIVE, "The most model calls in one run (default: `MUSTERD_MAX_TURNS`)."),
    )
    on_unknown_effect: str = field(
        default="pause",
        metadata=about(
            ON_UNKNOWN,
            "What happens after a tool call that is not retry-safe was interrupted or timed out: `pause` for a "
            "person to decide, `retry`, or `fail`.",
        ),
    )
    budget: Budget | None = field(
        default=None,
        metadata=about(_BUDGET, "Limits for one run: `tokens`, `cost_usd`, `seconds`, `tool_calls`, `depth`."),
    )

    # The parts of the prompt

    system_message: str | Callable[..., Any] | None = field(
        default=None,
        metadata=_prompt(
            _SYSTEM_MESSAGE,
            "Replaces the whole system prompt, including a leader's description of its members.",
        ),
    )
    introduction: str | None = field(
        default=None, metadata=_prompt(TEXT, "The first message of a session, written by the agent or team.")
    )
    expected_output: str | None = field(default=None, metadata=_prompt(TEXT, "A description of the expected answer."))
    additional_context: str | None = field(default=None, metadata=_prompt(TEXT, "Text that follows the instructions."))
    additional_input: Sequence[Any] | None = field(
        default=None,
        metadata=_prompt(
            _EXAMPLES, "Few-shot messages between the system prompt and the history; a plain text is a user message."
        ),
    )
    markdown: bool = field(default=False, metadata=_prompt(FLAG, "Ask for Markdown, unless `output_schema` is set."))
    use_instruction_tags: bool = field(default=True, metadata=_prompt(FLAG, "Wrap the instructions in XML tags."))
    resolve_in_context: bool = field(
        default=True,
        metadata=_prompt(
            FLAG,
            "Fill `{name}` in prompt texts with values from the session state, dependencies, metadata and `user_id`.",
        ),
    )
    add_name_to_context: bool = field(default=False, metadata=_prompt(FLAG, "Include its name in the prompt."))
    add_datetime_to_context: bool = field(
        default=False, metadata=_prompt(FLAG, "Include the time at which the run started.")
    )
    timezone_identifier: str | None = field(
        default=None,
        metadata=_prompt(TEXT, "A time zone like `Europe/Berlin`; default UTC.", part_of="add_datetime_to_context"),
    )
    add_location_to_context: bool = field(
        default=False, metadata=_prompt(FLAG, "Include the location from `MUSTERD_LOCATION`.")
    )
    add_dependencies_to_context: bool = field(
        default=False, metadata=_prompt(FLAG, "Include the dependencies as JSON.")
    )
    add_session_state_to_context: bool = field(
        default=False, metadata=_prompt(FLAG, "Include the session state as it is when the run starts.")
    )

    # How a run reads and changes its session

    enable_agentic_state: bool = field(
        default=False,
        metadata=about(FLAG, f"Add the tool `{UPDATE_STATE}`, with which the model changes the session state."),
    )
    overwrite_db_session_state: bool = field(
        default=False,
        metadata=about(FLAG, "Start each run from the declared state and the request's, and ignore the stored state."),
    )
    num_history_messages: int | None = field(
        default=None,
        metadata=about(
            POSITIVE, "Limit the history by messages in place of `num_history_runs`; a tool result counts as one."
        ),
    )
    max_tool_calls_from_history: int | None = field(
        default=None,
        metadata=about(COUNT, "Include only the last tool calls of the history, with their results."),
    )
    read_chat_history: bool = field(
        default=False,
        metadata=about(
            FLAG, f"Add the tool `{CHAT_HISTORY}`, with which the model reads earlier messages of the session."
        ),
    )
    search_session_history: bool = field(
        default=False,
        metadata=about(
            FLAG,
            f"Add the tool `{PREVIOUS_SESSIONS}`, with which the model reads the user's other sessions with this "
            "agent or team.",
        ),
    )
    num_history_sessions: int | None = field(
        default=None, metadata=about(POSITIVE, "How many sessions; default 2.", part_of="search_session_history")
    )
    enable_session_summaries: bool = field(
        default=False, metadata=about(FLAG, "Summarize the session with the model after each completed run.")
    )
    session_summary_manager: SessionSummaryManager | None = field(
        default=None,
        metadata=about(_MANAGER, "How, and with which model, sessions are summarized; setting it turns summaries on."),
    )
    add_session_summary_to_context: bool | None = field(
        default=None,
        metadata=about(FLAG, "Include the session summary; default: if summaries are on."),
    )

    # Memories of the user

    update_memory_on_run: bool = field(
        default=False,
        metadata=about(FLAG, "Let a model read each message of the user, and remember facts for later sessions."),
    )
    enable_user_memories: bool = field(default=False, metadata=about(FLAG, "The older name of `update_memory_on_run`."))
    enable_agentic_memory: bool = field(
        default=False,
        metadata=about(
            FLAG,
            f"Add the tool `{UPDATE_MEMORY}`, with which the model requests changes of memories; "
            "`update_memory_on_run` then has no effect.",
        ),
    )
    learning: bool = field(
        default=False,
        metadata=about(
            _LEARNING,
            "Keep a profile of the user, such as their name, in addition to memories; includes `update_memory_on_run`.",
        ),
    )
    add_memories_to_context: bool | None = field(
        default=None,
        metadata=_prompt(
            FLAG, "Include memories of the user and their profile; default: if another of these options is set."
        ),
    )
    memory_manager: MemoryManager | None = field(
        default=None,
        metadata=about(_MEMORY_MANAGER, "How, and with which model, memories are kept: a `MemoryManager(…)`."),
    )

    # Knowledge

    knowledge: Knowledge | None = field(
        default=None, metadata=about(_KNOWLEDGE, "The knowledge base that it searches (in YAML its id).")
    )
    search_knowledge: bool = field(
        default=True,
        metadata=_prompt(
            FLAG, f"Add the tool `{SEARCH_KNOWLEDGE}`, with which the model searches.", part_of="knowledge"
        ),
    )
    knowledge_filters: Any = field(
        default=None,
        metadata=_prompt(
            _FILTERS,
            "The condition on the metadata of what its searches find; a request and the model can only narrow it.",
        ),
    )
    enable_agentic_knowledge_filters: bool = field(
        default=False, metadata=_prompt(FLAG, "Let the model filter its searches by metadata.", part_of="knowledge")
    )
    add_search_knowledge_instructions: bool = field(
        default=True, metadata=_prompt(FLAG, "Tell the model to search before it answers.", part_of="knowledge")
    )
    add_knowledge_to_context: bool = field(
        default=False,
        metadata=_prompt(FLAG, "Search for the message before the first turn, and add what is found to it."),
    )
    references_format: str = field(
        default="json",
        metadata=_prompt(one_of("json", "yaml"), "The form in which the model reads what a search finds."),
    )
    knowledge_retriever: Callable[..., Any] | None = field(
        default=None,
        metadata=_prompt(
            _FUNCTION,
            "A function (in YAML `pkg.mod:name`) that searches in place of `knowledge`: it takes `query`, and if it "
            "has such parameters `num_documents`, `filters`, `agent`, `team`, `run_context`, and returns a list "
            "of dicts.",
        ),
    )
    update_knowledge: bool = field(
        default=False,
        metadata=about(FLAG, f"Add the tool `{ADD_TO_KNOWLEDGE}`, with which the model adds texts to `knowledge`."),
    )

    # The form of input and output

    input_schema: Any = field(
        default=None,
        metadata=about(
            SCHEMA,
            "The schema of messages, which are then JSON: a pydantic model class (in YAML `pkg.mod:Class`) or a "
            "JSON schema.",
        ),
    )
    parser_model: Any = field(
        default=None,
        metadata=about(MODEL, "A model that converts the answer to `output_schema`."),
    )
    parser_model_prompt: str | None = field(default=None, metadata=about(TEXT, "Its prompt.", part_of="parser_model"))
    output_model: Any = field(
        default=None,
        metadata=about(MODEL, "A model that writes the answer from the main model's results."),
    )
    output_model_prompt: str | None = field(
        default=None, metadata=about(TEXT, "Its prompt, in place of the instructions.", part_of="output_model")
    )
    use_json_mode: bool = field(
        default=False,
        metadata=about(FLAG, "Put the schema of the answer into the prompt and ask the provider for JSON."),
    )
    send_media_to_model: bool = field(
        default=True, metadata=about(FLAG, "False: media of a request are stored and returned but not sent to models.")
    )
    store_media: bool = field(
        default=True, metadata=about(FLAG, "False: delete a run's media when it finishes without an error.")
    )

    # How tools are called

    tool_choice: str | Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            _TOOL_CHOICE,
            "`auto`; `none`: no tool calls; `required` or a tool's name: the first turn must call a tool (that "
            "tool), later turns are free. In Python also a dict as in OpenAI's requests.",
        ),
    )
    tool_hooks: Sequence[Callable[..., Any]] | None = field(
        default=None, metadata=about(_TOOL_HOOKS, "Functions that wrap each tool call, the first one outermost.")
    )
    compress_tool_results: bool = field(
        default=False, metadata=about(FLAG, "Have a model shorten tool results once there are three.")
    )
    compression_manager: Any = field(
        default=None,
        metadata=about(
            _COMPRESSION,
            "When and how to compress: a `CompressionManager(…)`; setting it turns `compress_tool_results` on.",
        ),
    )

    # Hooks before and after a run

    pre_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(HOOKS, "Functions and guardrails that check the input.")
    )
    post_hooks: Sequence[Any] | None = field(
        default=None, metadata=about(HOOKS, "Functions and guardrails that check the answer.")
    )

    # Thinking before the answer

    reasoning: bool = field(default=False, metadata=about(FLAG, "Reason about the request before the first turn."))
    reasoning_model: Any = field(
        default=None,
        metadata=about(MODEL, "The model that reasons; default: the main model. Setting it turns `reasoning` on."),
    )
    reasoning_agent: Any = field(
        default=None,
        metadata=about(
            _AGENT,
            "The agent that reasons; setting it turns `reasoning` on. Its tools are not called.",
        ),
    )
    reasoning_min_steps: int = field(
        default=1, metadata=about(POSITIVE, "The fewest reasoning steps.", part_of="reasoning")
    )
    reasoning_max_steps: int = field(
        default=10, metadata=about(POSITIVE, "The most reasoning steps.", part_of="reasoning")
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
    def can_search(self) -> bool:
        """Whether there is something to search."""
        return self.knowledge is not None or self.knowledge_retriever is not None

    @property
    def has_search_tool(self) -> bool:
        """Whether the model can search by itself."""
        return self.search_knowledge and self.can_search

    @property
    def updates_memory_on_run(self) -> bool:
        """Whether a model reads the user's message for memories."""
        is_set = self.update_memory_on_run or self.enable_user_memories or self.learning
        return is_set and not self.enable_agentic_memory

    @property
    def shows_memories(self) -> bool:
        """Whether the model sees the memories of the user."""
        is_used = self.updates_memory_on_run or self.enable_agentic_memory or self.memory_manager is not None
        return is_used if self.add_memories_to_context is None else self.add_memories_to_context

    @property
    def reads_memories(self) -> bool:
        """Whether memories of the user are read before the first turn."""
        return self.shows_memories or self.updates_memory_on_run

    @property
    def added_tool_names(self) -> frozenset[str]:
        """The names of the tools that these options add."""
        names = {
            UPDATE_STATE: self.enable_agentic_state,
            CHAT_HISTORY: self.read_chat_history,
            PREVIOUS_SESSIONS: self.search_session_history,
            SEARCH_KNOWLEDGE: self.has_search_tool,
            ADD_TO_KNOWLEDGE: self.update_knowledge,
            UPDATE_MEMORY: self.enable_agentic_memory,
        }
        return frozenset(name for name, is_enabled in names.items() if is_enabled)
