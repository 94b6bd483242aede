"""The shapes of sessions."""

from musterd.http.openapi.described import Schema, free, many, nullable, number, record, ref, text, whole

_TIME = text(format="date-time")
_NAME = text("The name that was given, else the first message.")

_DETAIL: dict[str, Schema] = {
    "session_id": text(),
    "session_name": _NAME,
    "user_id": nullable(text()),
    "session_summary": nullable(free()),
    "session_state": free(),
    "metrics": free("What all its runs used."),
    "metadata": nullable(free()),
    "chat_history": many(ref("Message"), "What the user and the leader said."),
    "created_at": _TIME,
    "updated_at": _TIME,
    "total_tokens": nullable(whole()),
    "forked_from_session_id": text("The session whose runs it began with copies of."),
}
_DETAIL_OPTIONAL = ("user_id", "session_summary", "session_state", "metadata", "total_tokens", "forked_from_session_id")

_GIVEN: dict[str, Schema] = {
    "session_name": nullable(text("Its name; without one the first message is shown.")),
    "session_state": nullable(free("Its state, as its runs find it.")),
    "metadata": nullable(free("What else is to be kept with it.")),
}

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
        {**_DETAIL, "team_id": nullable(text()), "team_data": nullable(free())},
        optional=[*_DETAIL_OPTIONAL, "team_id", "team_data"],
    ),
    "AgentSessionDetailSchema": record(
        "AgentSessionDetailSchema",
        {**_DETAIL, "agent_session_id": text(), "agent_id": nullable(text()), "agent_data": nullable(free())},
        optional=[*_DETAIL_OPTIONAL, "agent_id", "agent_data"],
    ),
    "DeleteSessionRequest": record(
        "DeleteSessionRequest",
        {
            "session_ids": many(text(minLength=1, maxLength=255), minItems=1),
            "session_types": many(ref("SessionType"), "As many as there are ids.", minItems=1),
        },
    ),
    "CreateSessionRequest": record(
        "CreateSessionRequest",
        {
            "session_id": nullable(text("Its id; without one it gets a new one.", maxLength=255)),
            **_GIVEN,
            "user_id": nullable(text("What the user is called.", maxLength=255)),
            "agent_id": nullable(text("The agent whose session it is; without any its first run says it.")),
            "team_id": nullable(text("The team whose session it is.")),
            "workflow_id": nullable(text("Not supported: 422.")),
        },
        optional=[*_GIVEN, "session_id", "user_id", "agent_id", "team_id", "workflow_id"],
    ),
    "UpdateSessionRequest": record(
        "UpdateSessionRequest",
        {
            **_GIVEN,
            "summary": nullable(free("`summary`: what was said; `topics`: a list of texts; `updated_at`: until when.")),
        },
        optional=[*_GIVEN, "summary"],
    ),
    "Body_rename_session": record("Body_rename_session", {"session_name": text("Its new name; it may be empty.")}),
}
