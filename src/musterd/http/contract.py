"""The table of operations: method, path, name, who may, handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.core.records import ComponentKind
from musterd.http.approvals import ApprovalOperations
from musterd.http.core import CoreOperations
from musterd.http.events import EventOperations
from musterd.http.runs import RunOperations
from musterd.http.server import Server
from musterd.http.session_stream import SessionEventOperations
from musterd.http.sessions import SessionOperations

Handler = Callable[[Request], Awaitable[Response]]

OPEN = None
"""In place of a scope: answered to everybody, without a key."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; :mod:`musterd.http.openapi` describes it under its id.

    :param scope: what a token must be allowed, ``resource:action``, or :data:`OPEN`. Where the path names a team or an
        agent, a scope of that one alone (``teams:desk:run``) is enough.
    """

    method: str
    path: str
    operation_id: str
    scope: str | None
    handler: Handler


def operations(server: Server) -> list[Operation]:
    """Every operation, in the order of the docs."""
    return [
        *_core_operations(CoreOperations(server)),
        *_run_operations(server, "agent"),
        *_run_operations(server, "team"),
        *_approval_operations(ApprovalOperations(server)),
        *_session_operations(SessionOperations(server)),
        *_session_event_operations(SessionEventOperations(server)),
    ]


def _core_operations(core: CoreOperations) -> list[Operation]:
    return [
        Operation("GET", "/", "get_api_info", OPEN, core.home),
        Operation("GET", "/health", "health_check", OPEN, core.health),
        Operation("GET", "/info", "get_info", OPEN, core.info),
        Operation("GET", "/config", "get_config", "system:read", core.config),
        Operation("GET", "/models", "get_models", "system:read", core.models),
        Operation("GET", "/-/live", "get_liveness", OPEN, core.live),
        Operation("GET", "/-/ready", "get_readiness", OPEN, core.ready),
        Operation("GET", "/agents", "get_agents", "agents:read", core.agents),
        Operation("GET", "/agents/{agent_id}", "get_agent", "agents:read", core.agent),
        Operation("GET", "/teams", "get_teams", "teams:read", core.teams),
        Operation("GET", "/teams/{team_id}", "get_team", "teams:read", core.team),
    ]


def _run_operations(server: Server, kind: ComponentKind) -> list[Operation]:
    """What can be asked about runs: who may run a team may do everything with its own runs."""
    runs, events = RunOperations(server, kind), EventOperations(server, kind)
    every, scope = f"/{kind}s/{{{kind}_id}}/runs", f"{kind}s:run"
    one = f"{every}/{{run_id}}"
    return [
        Operation("POST", every, f"create_{kind}_run", scope, runs.create),
        Operation("GET", every, f"list_{kind}_runs", scope, runs.list),
        Operation("GET", one, f"get_{kind}_run", scope, runs.get),
        Operation("POST", f"{one}/cancel", f"cancel_{kind}_run", scope, runs.cancel),
        Operation("POST", f"{one}/continue", f"continue_{kind}_run", scope, runs.continue_),
        Operation("GET", f"{one}/steps", f"list_{kind}_run_steps", scope, runs.steps),
        Operation("GET", f"{one}/messages", f"list_{kind}_run_messages", scope, runs.messages),
        Operation("POST", f"{one}/messages", f"send_{kind}_run_message", scope, runs.send_message),
        Operation("GET", f"{one}/media/{{media_id}}", f"get_{kind}_run_media", scope, runs.medium),
        Operation("POST", f"{one}/resume", f"resume_{kind}_run_stream", scope, events.resume),
        Operation("GET", f"{one}/events", f"list_{kind}_run_events", scope, events.events),
    ]


def _approval_operations(approvals: ApprovalOperations) -> list[Operation]:
    one, read, write = "/approvals/{approval_id}", "approvals:read", "approvals:write"
    get, resolve = "get_approval_approvals__approval_id__get", "resolve_approval_approvals__approval_id__resolve_post"
    status = "get_approval_status_approvals__approval_id__status_get"
    return [
        Operation("GET", "/approvals", "list_approvals_approvals_get", read, approvals.list),
        Operation("GET", "/approvals/count", "get_approval_count_approvals_count_get", read, approvals.count),
        Operation("GET", one, get, read, approvals.get),
        Operation(
            "DELETE", one, "delete_approval_approvals__approval_id__delete", "approvals:delete", approvals.delete
        ),
        Operation("GET", f"{one}/status", status, read, approvals.status),
        Operation("POST", f"{one}/resolve", resolve, write, approvals.resolve),
    ]


def _session_operations(sessions: SessionOperations) -> list[Operation]:
    one, read, delete = "/sessions/{session_id}", "sessions:read", "sessions:delete"
    return [
        Operation("GET", "/sessions", "get_sessions", read, sessions.list),
        Operation("DELETE", "/sessions", "delete_sessions", delete, sessions.delete_many),
        Operation("GET", one, "get_session_by_id", read, sessions.get),
        Operation("DELETE", one, "delete_session", delete, sessions.delete),
        Operation("GET", f"{one}/runs", "get_session_runs", read, sessions.runs),
        Operation("GET", f"{one}/runs/{{run_id}}", "get_session_run", read, sessions.run),
    ]


def _session_event_operations(events: SessionEventOperations) -> list[Operation]:
    return [Operation("GET", "/sessions/{session_id}/events", "follow_session", "sessions:read", events.follow)]


def routes(server: Server) -> list[Route]:
    """A route for every operation."""
    return [Route(found.path, found.handler, methods=[found.method]) for found in operations(server)]
