"""Fields of Agno that have no meaning on a server that owns its runs, each with what to do."""

_STORE = "remove it: musterd keeps every run and event in its own database (musterd serve --db)"
_REQUEST = "remove it: each request says it"
_RETRY = "remove it: failing providers are tried again by the server (MUSTERD_MODEL_TRIES)"
_LOG = "remove it: the server's log says what happens"

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
