"""The shapes of sessions."""

from musterd.http.openapi.described import Schema, free, many, nullable, number, record, ref, text, whole

_TIME = text(format="date-time")
_NAME = text("The name that was given, else the first message.")

_DETAIL: dict[str, Schema] = {
    "session_id": text(),
    "session_name": _NAME,
    "user_id": text(),
    "session_summary": free(),
    "session_state": free(),
    "metrics": free("What all its runs used."),
    "metadata": free(),
    "chat_history": many(ref("Message"), "What the user and the leader said."),
    "created_at": _TIME,
    "updated_at": _TIME,
    "total_tokens": whole(),
}
_DETAIL_OPTIONAL = ("user_id", "session_summary", "session_state", "metadata", "total_tokens")

SESSION_SCHEMAS: dict[str, Schema] = {
    "SessionType": {"title": "SessionType", "type": "string", "enum": ["agent", "team", "workflow"]},
    "SortOrder": {"title": "SortOrder", "type": "string", "enum": ["asc", "desc"]},
    "SessionSchema": record(
        "SessionSchema",
        {
            "session_id": text(),
            "session_name": _NAME,
            "session_state": nullable(free()),
            "created_at": _TIME,
            "updated_at": _TIME,
        },
    ),
    "PaginationInfo": record(
        "PaginationInfo",
        {
            "page": whole(minimum=0),
            "limit": whole(minimum=1),
            "total_pages": whole(minimum=0),
            "total_count": whole(minimum=0),
            "search_time_ms": number(minimum=0),
        },
    ),
    "PaginatedResponse_SessionSchema_": record(
        "PaginatedResponse[SessionSchema]", {"data": many(ref("SessionSchema")), "meta": ref("PaginationInfo")}
    ),
    "TeamSessionDetailSchema": record(
        "TeamSessionDetailSchema",
        {**_DETAIL, "team_id": text(), "team_data": free()},
        optional=[*_DETAIL_OPTIONAL, "team_id", "team_data"],
    ),
    "AgentSessionDetailSchema": record(
        "AgentSessionDetailSchema",
        {**_DETAIL, "agent_session_id": text(), "agent_id": text(), "agent_data": free()},
        optional=[*_DETAIL_OPTIONAL, "agent_id", "agent_data"],
    ),
    "DeleteSessionRequest": record(
        "DeleteSessionRequest",
        {
            "session_ids": many(text(minLength=1, maxLength=255), minItems=1),
            "session_types": many(ref("SessionType"), "As many as there are ids.", minItems=1),
        },
    ),
}
