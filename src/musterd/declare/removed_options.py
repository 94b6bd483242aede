"""Options of Agno that musterd does not have, with how to replace each."""

_STORE = "remove it: musterd keeps every run and event in its own database (musterd serve --db)"
_REQUEST = "remove it: it belongs to each request"
_RETRY = "remove it: the server retries model calls (MUSTERD_MODEL_TRIES)"
_LOG = "remove it: the server's log says what happens"
_FUNCTION = "remove it: functions for tools and members are called once per run"
_FORM = "remove it: output_schema is enough; use_json_mode selects how it is requested"
_PROMPT = "remove it: system_message replaces the prompt, and roles depend on the provider"
_KNOWLEDGE = "remove it: knowledge is a Knowledge(…), not a function"
_CULTURE = "remove it: culture is not supported; use instructions"

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
    "save_response_to_file": "remove it: the answer is stored; a function in post_hooks can write it elsewhere",
    "read_tool_call_history": "remove it: use max_tool_calls_from_history",
    "cache_callables": _FUNCTION,
    "callable_tools_cache_key": _FUNCTION,
    "callable_members_cache_key": _FUNCTION,
    "callable_knowledge_cache_key": _KNOWLEDGE,
    "add_learnings_to_context": "remove it: add_memories_to_context includes the profile that learning keeps",
    "parse_response": _FORM,
    "structured_outputs": _FORM,
    "system_message_role": _PROMPT,
    "user_message_role": _PROMPT,
    "build_context": _PROMPT,
    "build_user_context": _PROMPT,
    "skills": "remove it: skills are not supported; use tools and instructions",
    "culture_manager": _CULTURE,
    "enable_agentic_culture": _CULTURE,
    "update_cultural_knowledge": _CULTURE,
    "add_culture_to_context": _CULTURE,
}

_INSTRUCTIONS = "remove it: instructions are always added; leave them out if you do not want that"
_CACHE_DIR = "remove it: results are cached in memory"

REMOVED_OF_KNOWLEDGE: dict[str, str] = {
    "vector_db": "remove it: chunks and vectors are kept in musterd's own database; embedder= names the model",
    "contents_db": "remove it: contents are always recorded in musterd's own database",
    "readers": "remove it: the reader is chosen by the kind of each content",
    "content_sources": "remove it: use folder=, or add contents over HTTP",
    "isolate_vector_search": "remove it: a search never finds the contents of another knowledge base",
    "search": "write search_type=",
}

REMOVED_OF_TOOLS: dict[str, str] = {
    "add_instructions": _INSTRUCTIONS,
    "strict": "remove it: arguments are always checked against the type hints",
    "cache_dir": _CACHE_DIR,
}

REMOVED_OF_TOOLKITS: dict[str, str] = {
    "add_instructions": _INSTRUCTIONS,
    "async_tools": "list async functions in tools instead of the plain ones",
    "auto_register": "remove it: tools are used, otherwise all public methods",
    "cache_results": "set it for each tool: @tool(cache_results=True)",
    "cache_ttl": "set it for each tool: @tool(cache_results=True, cache_ttl=…)",
    "cache_dir": _CACHE_DIR,
}
