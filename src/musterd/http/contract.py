"""The table of operations: path, method, name, handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.http.approvals import ApprovalOperations
from musterd.http.core import CoreOperations
from musterd.http.runs import RunOperations
from musterd.http.server import Server
from musterd.http.sessions import SessionOperations

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; :mod:`musterd.http.openapi` describes it under its id."""

    method: str
    path: str
    operation_id: str
    handler: Handler


def operations(server: Server) -> list[Operation]:
    """Every operation, in the order of the docs."""
    core, sessions = CoreOperations(server), SessionOperations(server)
    teams, agents = RunOperations(server, "team"), RunOperations(server, "agent")
    return [
        Operation("GET", "/", "get_api_info", core.home),
        Operation("GET", "/health", "health_check", core.health),
        Operation("GET", "/info", "get_info", core.info),
        Operation("GET", "/config", "get_config", core.config),
        Operation("GET", "/models", "get_models", core.models),
        Operation("GET", "/-/live", "get_liveness", core.live),
        Operation("GET", "/-/ready", "get_readiness", core.ready),
        Operation("GET", "/agents", "get_agents", core.agents),
        Operation("GET", "/agents/{agent_id}", "get_agent", core.agent),
        Operation("POST", "/agents/{agent_id}/runs", "create_agent_run", agents.create),
        Operation("GET", "/agents/{agent_id}/runs", "list_agent_runs", agents.list),
        Operation("GET", "/agents/{agent_id}/runs/{run_id}", "get_agent_run", agents.get),
        Operation("POST", "/agents/{agent_id}/runs/{run_id}/cancel", "cancel_agent_run", agents.cancel),
        Operation("POST", "/agents/{agent_id}/runs/{run_id}/continue", "continue_agent_run", agents.continue_),
        Operation("GET", "/agents/{agent_id}/runs/{run_id}/steps", "list_agent_run_steps", agents.steps),
        Operation("GET", "/agents/{agent_id}/runs/{run_id}/messages", "list_agent_run_messages", agents.messages),
        Operation("POST", "/agents/{agent_id}/runs/{run_id}/messages", "send_agent_run_message", agents.send_message),
        Operation("GET", "/agents/{agent_id}/runs/{run_id}/media/{media_id}", "get_agent_run_media", agents.medium),
        Operation("POST", "/agents/{agent_id}/runs/{run_id}/resume", "resume_agent_run_stream", agents.not_supported),
        Operation("GET", "/teams", "get_teams", core.teams),
        Operation("GET", "/teams/{team_id}", "get_team", core.team),
        Operation("POST", "/teams/{team_id}/runs", "create_team_run", teams.create),
        Operation("GET", "/teams/{team_id}/runs", "list_team_runs", teams.list),
        Operation("GET", "/teams/{team_id}/runs/{run_id}", "get_team_run", teams.get),
        Operation("POST", "/teams/{team_id}/runs/{run_id}/cancel", "cancel_team_run", teams.cancel),
        Operation("POST", "/teams/{team_id}/runs/{run_id}/continue", "continue_team_run", teams.continue_),
        Operation("GET", "/teams/{team_id}/runs/{run_id}/steps", "list_team_run_steps", teams.steps),
        Operation("GET", "/teams/{team_id}/runs/{run_id}/messages", "list_team_run_messages", teams.messages),
        Operation("POST", "/teams/{team_id}/runs/{run_id}/messages", "send_team_run_message", teams.send_message),
        Operation("GET", "/teams/{team_id}/runs/{run_id}/media/{media_id}", "get_team_run_media", teams.medium),
        Operation("POST", "/teams/{team_id}/runs/{run_id}/resume", "resume_team_run_stream", teams.not_supported),
        *_approval_operations(ApprovalOperations(server)),
        Operation("GET", "/sessions", "get_sessions", sessions.list),
        Operation("DELETE", "/sessions", "delete_sessions", sessions.delete_many),
        Operation("GET", "/sessions/{session_id}", "get_session_by_id", sessions.get),
        Operation("DELETE", "/sessions/{session_id}", "delete_session", sessions.delete),
        Operation("GET", "/sessions/{session_id}/runs", "get_session_runs", sessions.runs),
        Operation("GET", "/sessions/{session_id}/runs/{run_id}", "get_session_run", sessions.run),
    ]


def _approval_operations(approvals: ApprovalOperations) -> list[Operation]:
    one = "/approvals/{approval_id}"
    return [
        Operation("GET", "/approvals", "list_approvals_approvals_get", approvals.list),
        Operation("GET", "/approvals/count", "get_approval_count_approvals_count_get", approvals.count),
        Operation("GET", one, "get_approval_approvals__approval_id__get", approvals.get),
        Operation("DELETE", one, "delete_approval_approvals__approval_id__delete", approvals.delete),
        Operation("GET", f"{one}/status", "get_approval_status_approvals__approval_id__status_get", approvals.status),
        Operation("POST", f"{one}/resolve", "resolve_approval_approvals__approval_id__resolve_post", approvals.resolve),
    ]


def routes(server: Server) -> list[Route]:
    """A route for every operation."""
    return [Route(found.path, found.handler, methods=[found.method]) for found in operations(server)]
