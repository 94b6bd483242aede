"""Every option of Agno's ``Agent``, ``Team``, ``Workflow`` and ``AgentOS`` (2.5.6), and what becomes of it here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from musterd.agno.report import Report
from musterd.agno.watching import passed_options
from musterd.declare.problems import note
from musterd.declare.source_location import Place, declaration_error


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one option.

    :param treatment: ``carried``: the option of the same name; ``converted``: see
        :mod:`musterd.agno.component_options` and :mod:`musterd.agno.reader`; ``here``: musterd does it differently;
        ``not served``: the rest is served without it; ``refused``: the source cannot be served with it.
    :param words: what it means here, or how to do without it.
    """

    treatment: Literal["carried", "converted", "here", "not served", "refused"]
    words: str = ""


def _rows(treatment: Literal["carried", "converted"], names: str) -> dict[str, Row]:
    return {name: Row(treatment) for name in names.split()}


_DATABASE = Row("here", "runs, events and sessions are stored in musterd's own database (--db)")
_REQUEST = Row("here", "each request sends its own")
_RETRIES = Row("here", "the server retries model calls (MUSTERD_MODEL_TRIES)")
_LOG = Row("here", "the server has its own log level (MUSTERD_LOG_LEVEL)")
_ONCE_PER_RUN = Row("here", "functions for tools, members and knowledge are called once per run")
_ROLE = Row("refused", "roles depend on the provider: leave it out")

OPTIONS: dict[str, Row] = {
    **_rows(
        "carried",
        """
        name id role description expected_output additional_context introduction markdown
        session_state add_session_state_to_context enable_agentic_state overwrite_db_session_state
        search_session_history num_history_sessions read_chat_history
        enable_session_summaries add_session_summary_to_context
        add_dependencies_to_context metadata resolve_in_context use_instruction_tags
        add_name_to_context add_datetime_to_context add_location_to_context timezone_identifier
        update_memory_on_run enable_user_memories enable_agentic_memory add_memories_to_context
        add_history_to_context num_history_runs num_history_messages max_tool_calls_from_history
        knowledge_filters enable_agentic_knowledge_filters add_knowledge_to_context references_format
        search_knowledge add_search_knowledge_instructions
        tool_call_limit tool_choice compress_tool_results
        reasoning reasoning_min_steps reasoning_max_steps
        input_schema output_schema parser_model_prompt output_model_prompt use_json_mode
        send_media_to_model store_media
        respond_directly delegate_to_all_members determine_input_for_members max_iterations
        share_member_interactions add_team_history_to_members num_team_history_runs
        get_member_information_tool add_member_tools_to_context store_member_responses stream_member_events
        """,
    ),
    **_rows(
        "converted",
        """
        model reasoning_model parser_model output_model reasoning_agent members mode
        tools tool_hooks pre_hooks post_hooks skills
        instructions system_message dependencies additional_input
        knowledge knowledge_retriever session_summary_manager memory_manager compression_manager
        learning add_learnings_to_context save_response_to_file update_knowledge
        culture_manager enable_agentic_culture update_cultural_knowledge add_culture_to_context
        """,
    ),
    "db": _DATABASE,
    "cache_session": _DATABASE,
    "store_events": _DATABASE,
    "events_to_skip": Row("here", "all events are stored; each request chooses which it reads"),
    "store_tool_messages": _DATABASE,
    "store_history_messages": _DATABASE,
    "stream": _REQUEST,
    "stream_events": _REQUEST,
    "user_id": _REQUEST,
    "session_id": _REQUEST,
    "retries": _RETRIES,
    "delay_between_retries": _RETRIES,
    "exponential_backoff": _RETRIES,
    "debug_mode": _LOG,
    "debug_level": _LOG,
    "show_members_responses": _LOG,
    "telemetry": Row("here", "musterd sends nothing anywhere"),
    "cache_callables": _ONCE_PER_RUN,
    "callable_tools_cache_key": _ONCE_PER_RUN,
    "callable_knowledge_cache_key": _ONCE_PER_RUN,
    "callable_members_cache_key": _ONCE_PER_RUN,
    "structured_outputs": Row("here", "the schema of the answer is sent as the provider supports it best"),
    "system_message_role": _ROLE,
    "user_message_role": _ROLE,
    "build_context": Row("refused", "the prompt is always built: use system_message to replace it"),
    "build_user_context": Row("refused", "the user's message is always built: leave it out"),
    "parse_response": Row("refused", "an answer of output_schema is always parsed: leave it out"),
    "read_tool_call_history": Row("refused", "use max_tool_calls_from_history"),
}
"""The options of agents and teams."""

WORKFLOW: dict[str, Row] = {
    **_rows(
        "carried",
        """
        id name description session_state overwrite_db_session_state input_schema metadata
        stream_executor_events store_executor_outputs add_workflow_history_to_steps num_history_runs
        """,
    ),
    **_rows("converted", "steps agent"),
    **{
        name: OPTIONS[name]
        for name in (
            *("db", "cache_session", "store_events", "events_to_skip", "stream", "stream_events", "user_id"),
            *("session_id", "debug_mode", "debug_level", "telemetry"),
        )
    },
}
"""The options of workflows."""

_SCHEDULES = Row("here", "schedules are always available (/schedules)")
_DOOR = ": run them in an AgentOS in front of it (docs/howto/agno-apps.md#interfaces)"

AGENT_OS: dict[str, Row] = {
    **_rows(
        "converted",
        """
        agents teams workflows base_app lifespan on_route_conflict
        id name description settings cors_allowed_origins authorization authorization_config
        """,
    ),
    "version": Row("here", "the version that clients see is musterd's"),
    "db": _DATABASE,
    "auto_provision_dbs": _DATABASE,
    "telemetry": Row("here", "musterd sends nothing anywhere"),
    "tracing": Row("here", "runs are always traced (/traces)"),
    "config": Row("here", "the display options of AgentOS's own pages are ignored"),
    "registry": Row("here", "models and tools are those of the agents and teams"),
    "scheduler": _SCHEDULES,
    "scheduler_poll_interval": _SCHEDULES,
    "scheduler_base_url": _SCHEDULES,
    "internal_service_token": _SCHEDULES,
    "run_hooks_in_background": Row("here", "hooks finish before the run does"),
    "knowledge": Row("not served", "agents search their own knowledge, but the API cannot list or change it"),
    "interfaces": Row("not served", f"musterd has no interfaces to other services{_DOOR}"),
    "a2a_interface": Row("not served", f"musterd does not speak A2A{_DOOR}"),
    "enable_mcp_server": Row("not served", "musterd is not an MCP server"),
}
"""The options of ``AgentOS``."""


def report_others(declared: Any, table: Mapping[str, Row], label: str, place: Place, report: Report) -> None:
    """Report and refuse the options of an object that are neither carried nor converted."""
    passed = passed_options(declared)
    agno_class = next(base for base in type(declared).__mro__ if base.__module__.startswith("agno."))
    defaults = inspect.signature(agno_class.__init__).parameters  # type: ignore[misc]
    for name, row in table.items():
        if row.treatment not in ("here", "not served", "refused") or name not in defaults:
            continue
        value = getattr(declared, name, None)
        if (passed is not None and name not in passed) or value is None or _equals(value, defaults[name].default):
            continue
        if row.treatment == "refused":
            setting = f"{name}={value!r}" if isinstance(value, str | bool | int) else name
            note(declaration_error(place, f"{label} sets {setting}, which is not supported", row.words), place)
        else:
            (report.here if row.treatment == "here" else report.not_served)(name, row.words, place)


def _equals(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | bool | int) and bool(value == default))
