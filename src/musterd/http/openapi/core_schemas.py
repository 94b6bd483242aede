"""The shapes of what a server says about itself and what it serves."""

from musterd.http.openapi.described import Schema, flag, free, many, nullable, record, ref, text, whole

_ID = text("The id that paths have.")
_NAME = text("The name for people.")
_DB_ID = text("The id of the database that holds its sessions.")

_COMPONENT: dict[str, Schema] = {
    "id": _ID,
    "name": _NAME,
    "db_id": _DB_ID,
    "description": text(),
    "role": text("What it does, for the leader of a team."),
    "mode": text("How a team's leader works with its members.", examples=["coordinate"]),
    "model": ref("ModelResponse"),
    "tools": record("ComponentTools", {"tools": many(free())}),
    "sessions": free(),
    "system_message": free("Description and instructions, as the model is given them."),
    "introduction": text("The first message of a session."),
    "input_schema": free("The JSON schema that messages must have."),
}
_OPTIONAL = ("description", "role", "mode", "tools", "system_message", "introduction", "input_schema")
_IS_COMPONENT = flag("Always false: components are declared, not edited over HTTP.")

_SUMMARY: dict[str, Schema] = {"id": _ID, "name": _NAME, "description": text(), "db_id": _DB_ID}

_DOMAINS = ("session", "metrics", "memory", "evals", "traces")


def _domain(name: str) -> dict[str, Schema]:
    """Where a kind of records is, in the three schemas that the reference has for each."""
    config, database, domain = f"{name}Config", f"DatabaseConfig_{name}DomainConfig_", f"{name}DomainConfig"
    display_name = nullable(text("The name for people."))
    shown = {"db_id": text(), "domain_config": nullable(ref(domain)), "tables": nullable(many(text()))}
    return {
        config: record(
            config,
            {"dbs": nullable(many(ref(database))), "display_name": display_name},
            optional=["display_name"],
        ),
        database: record(f"DatabaseConfig[{domain}]", shown, optional=["tables"]),
        domain: record(domain, {"display_name": display_name}),
    }


CORE_SCHEMAS: dict[str, Schema] = {
    **{key: schema for name in _DOMAINS for key, schema in _domain(name.capitalize()).items()},
    "Checks": {
        "title": "Checks",
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "The checks by name, each `ok` or what is the matter: `accepting`, `database`, `schema`, "
        "`worker`, `beats`, `event_loop`, `served`.",
    },
    "NotReadyResponse": record(
        "NotReadyResponse",
        {"detail": text(), "error_code": text(), "request_id": text(), "checks": ref("Checks")},
    ),
    "HealthResponse": record(
        "HealthResponse",
        {"status": text(examples=["ok"]), "instantiated_at": text("When the server started.", format="date-time")},
    ),
    "McpInfo": record(
        "McpInfo",
        {
            "enabled": flag(),
            "path": nullable(text()),
            "oauth": nullable(ref("McpOAuthInfo")),
            "tool_run_endpoint": flag(),
        },
    ),
    "McpOAuthInfo": record(
        "McpOAuthInfo",
        {"resource": nullable(text()), "authorization_servers": nullable(many(text()))},
        optional=["resource", "authorization_servers"],
    ),
    "InfoResponse": record(
        "InfoResponse",
        {
            "os_id": text(),
            "name": nullable(text()),
            "os_version": text("The version of this server."),
            "agno_version": text("The version of AgentOS whose API this is."),
            "agent_count": whole(),
            "team_count": whole(),
            "workflow_count": whole(),
            "mcp": ref("McpInfo"),
            "auth_mode": text(enum=["none", "security_key", "jwt"]),
            "user_isolation": flag(),
        },
    ),
    "ConfigResponse": record(
        "ConfigResponse",
        {
            "os_id": text(),
            "name": nullable(text()),
            "description": nullable(text()),
            "available_models": nullable(many(text())),
            "os_database": nullable(text()),
            "databases": many(text()),
            **{name: ref(f"{name.capitalize()}Config") for name in _DOMAINS},
            "agents": many(ref("AgentSummaryResponse")),
            "teams": many(ref("TeamSummaryResponse")),
            "workflows": many(free()),
            "interfaces": many(free()),
        },
    ),
    "AgentSummaryResponse": record("AgentSummaryResponse", _SUMMARY, optional=["description"]),
    "TeamSummaryResponse": record(
        "TeamSummaryResponse", {**_SUMMARY, "mode": text()}, optional=["description", "mode"]
    ),
    "Model": record("Model", {"id": text("The provider's name of the model."), "provider": text()}),
    "ModelResponse": record(
        "ModelResponse",
        {
            "name": text("The kind of model.", examples=["OpenAIChat"]),
            "model": text("The provider's name of the model.", examples=["gpt-5-mini"]),
            "provider": text(examples=["OpenAI"]),
        },
    ),
    "AgentResponse": record("AgentResponse", {**_COMPONENT, "is_component": _IS_COMPONENT}, optional=_OPTIONAL),
    "TeamResponse": record(
        "TeamResponse",
        {
            **_COMPONENT,
            "streaming": free(),
            "members": many({"anyOf": [ref("TeamResponse"), ref("AgentResponse")]}),
            "is_component": _IS_COMPONENT,
        },
        optional=_OPTIONAL,
    ),
}
