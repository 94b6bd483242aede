"""The operations that say what this server is and how it is."""

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Described, Schema, in_path, many, ref, text, whole

TEAM_ID = in_path("team_id", "The team's id")
AGENT_ID = in_path("agent_id", "The agent's id")

_HOME: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "id": {"type": "string"}, "version": {"type": "string"}},
    "required": ["name", "id", "version"],
}


def _status(word: str) -> Schema:
    return {"type": "object", "properties": {"status": {"const": word}}, "required": ["status"]}


_READINESS: Schema = {
    "type": "object",
    "properties": {
        "status": {"const": "ready"},
        "checks": ref("Checks"),
        "not_served_count": whole(
            "Components that runs wait of and that no process drives; none of them is served here."
        ),
        "not_served": many(text(), "Their names; administrators alone are told them."),
    },
    "required": ["status", "checks"],
}
_FIGURES = {**answer("The figures"), "content": {"text/plain": {"schema": {"type": "string"}}}}

CORE: dict[str, Described] = {
    "get_api_info": Described(
        tags=("Home",),
        summary="API Information",
        description="What this server is. A browser (`Accept: text/html`) is sent to the docs.",
        answers={
            "200": answer("The server's name, id and version", _HOME),
            "307": answer("The docs, for a browser", None, header("Location")),
            **errors(),
        },
        is_open=True,
    ),
    "health_check": Described(
        tags=("Health",),
        summary="Health Check",
        description="200 once runs can be accepted.",
        answers={"200": answer("Runs can be accepted", ref("HealthResponse")), **errors("503")},
        is_open=True,
    ),
    "get_info": Described(
        tags=("Core",),
        summary="Get OS Info",
        description="Names, versions and counts; answered without a key.",
        answers={"200": answer("The server's card", ref("InfoResponse")), **errors()},
        is_open=True,
    ),
    "get_config": Described(
        tags=("Core",),
        summary="Get OS Configuration",
        description="What is served: teams, agents, the database.",
        answers={"200": answer("The configuration", ref("ConfigResponse")), **errors("401")},
    ),
    "get_models": Described(
        tags=("Core",),
        summary="Get Available Models",
        description="Every model in use, once.",
        answers={"200": answer("The models", many(ref("Model"))), **errors("401")},
    ),
    "get_liveness": Described(
        tags=("Health",),
        summary="Liveness",
        description="200 while the process answers.",
        answers={"200": answer("The process answers", _status("live")), **errors()},
        is_open=True,
    ),
    "get_readiness": Described(
        tags=("Health",),
        summary="Readiness",
        description="200 while every check passes: this process accepts runs, the database can be written and has a "
        "schema that this version knows, the worker claims and shows that it lives, the event loop keeps up, and of "
        "what is served here no run waits that no process drives. Which components those are it tells administrators "
        "alone: with the key or a token of theirs, or where no key is asked for.",
        answers={
            "200": answer("Every check passes", _READINESS),
            **errors(),
            "503": answer("A check fails; `checks` says which and why", ref("NotReadyResponse"), header("Retry-After")),
        },
        is_open=True,
    ),
    "get_prometheus_metrics": Described(
        tags=("Health",),
        summary="Metrics",
        description="What this process has counted, and how many runs stand where, in Prometheus' text form.",
        answers={"200": _FIGURES, **errors("401", "503")},
    ),
    "get_agents": Described(
        tags=("Agents",),
        summary="List All Agents",
        description="The agents that are served by themselves and that the caller may see; members of teams stand in "
        "their teams.",
        answers={"200": answer("The agents", many(ref("AgentResponse"))), **errors("401")},
    ),
    "get_agent": Described(
        tags=("Agents",),
        summary="Get Agent Details",
        description="One agent.",
        parameters=[AGENT_ID],
        answers={"200": answer("The agent", ref("AgentResponse")), **errors("401", "422", _404="Agent not found")},
    ),
    "get_teams": Described(
        tags=("Teams",),
        summary="List All Teams",
        description="The teams that the caller may see, each with its members.",
        answers={"200": answer("The teams", many(ref("TeamResponse"))), **errors("401")},
    ),
    "get_team": Described(
        tags=("Teams",),
        summary="Get Team Details",
        description="One team with its members.",
        parameters=[TEAM_ID],
        answers={"200": answer("The team", ref("TeamResponse")), **errors("401", "422", _404="Team not found")},
    ),
}
