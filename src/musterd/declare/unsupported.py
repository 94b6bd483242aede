"""Options of Agno that musterd does not have, with how to replace each."""

_STORE = "remove it: musterd keeps every run and event in its own database (musterd serve --db)"
_REQUEST = "remove it: each request says it"
_RETRY = "remove it: failing providers are tried again by the server (MUSTERD_MODEL_TRIES)"
_LOG = "remove it: the server's log says what happens"
_FUNCTION = "remove it: functions that give tools or members are asked anew for each run"
_FORM = "remove it: an answer is read wherever there is an output_schema; use_json_mode says how it is asked for"
_PROMPT = "remove it: system_message replaces the prompt, and roles are the provider's"
_KNOWLEDGE = "remove it: it belongs to knowledge, which is not supported yet"
_CULTURE = "remove it: there is no culture here; what everybody is to know stands in instructions"

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
    "store_tool_messages": _STORE,
    "store_history_messages": _STORE,
    "save_response_to_file": "remove it: the answer is stored; a function in post_hooks may write it elsewhere too",
    "read_tool_call_history": "remove it: max_tool_calls_from_history shows its model earlier calls",
    "cache_callables": _FUNCTION,
    "callable_tools_cache_key": _FUNCTION,
    "callable_members_cache_key": _FUNCTION,
    "callable_knowledge_cache_key": _KNOWLEDGE,
    "references_format": _KNOWLEDGE,
    "add_search_knowledge_instructions": _KNOWLEDGE,
    "add_learnings_to_context": "remove it: it belongs to learning, which is not supported yet",
    "parse_response": _FORM,
    "structured_outputs": _FORM,
    "system_message_role": _PROMPT,
    "user_message_role": _PROMPT,
    "build_context": _PROMPT,
    "build_user_context": _PROMPT,
    "skills": "remove it: there are no skills here; tools and instructions do their work",
    "culture_manager": _CULTURE,
    "enable_agentic_culture": _CULTURE,
    "update_cultural_knowledge": _CULTURE,
    "add_culture_to_context": _CULTURE,
}

_INSTRUCTIONS = "remove it: instructions are always told; leave them out where they are not to be"
_CACHE_DIR = "remove it: results are kept in memory"

REMOVED_OF_TOOLS: dict[str, str] = {
    "add_instructions": _INSTRUCTIONS,
    "strict": "remove it: what a model sends is always checked against the type hints",
    "cache_dir": _CACHE_DIR,
}

REMOVED_OF_TOOLKITS: dict[str, str] = {
    "add_instructions": _INSTRUCTIONS,
    "async_tools": "list async functions in tools, in place of the plain ones",
    "auto_register": "remove it: what stands in tools counts, else every public method",
    "cache_results": "say it of each tool: @tool(cache_results=True)",
    "cache_ttl": "say it of each tool: @tool(cache_results=True, cache_ttl=…)",
    "cache_dir": _CACHE_DIR,
}
