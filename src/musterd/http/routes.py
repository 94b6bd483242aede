"""The table of operations: method, path, name, who may, handler."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.core.records import ComponentKind
from musterd.core.scopes import ADMIN
from musterd.http.approvals import ApprovalOperations
from musterd.http.auth.scopes import Handler, guarded
from musterd.http.chosen_run_ids import by_name
from musterd.http.core import CoreOperations
from musterd.http.events import EventOperations
from musterd.http.history import HistoryOperations
from musterd.http.memories import MemoryOperations
from musterd.http.metrics import MetricsOperations
from musterd.http.migrations import MigrationOperations
from musterd.http.run_lists import RunListOperations
from musterd.http.runs import RunOperations
from musterd.http.server import Server
from musterd.http.service_accounts import ServiceAccountOperations
from musterd.http.session_stream import SessionEventOperations
from musterd.http.sessions import SessionOperations
from musterd.http.traces import TraceOperations
from musterd.http.usage import DailyOperations
from musterd.http.webhooks import WebhookOperations
from musterd.service.chosen_run_ids import ChosenRunIds

OPEN = None
"""In place of a scope: answered to everybody, without a key."""

LIMITABLE = frozenset({"agents", "teams"})
"""What a scope may be limited to one of: ``teams:desk:run``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; :mod:`musterd.http.openapi` describes it under its id.

    :param scope: what a token must be allowed, ``resource:action``, or :data:`OPEN`. Where the path names a team or an
        agent, a scope of that one alone (``teams:desk:run``) is enough.
    :param lists: it lists what scopes may be limited to, and shows each caller its own: any such scope is enough.
    """

    method: str
    path: str
    operation_id: str
    scope: str | None
    handler: Handler
    lists: bool = False

    @property
    def guarded(self) -> Handler:
        """The handler, for whoever has the scope."""
        if self.scope is OPEN:
            return self.handler
        resource = self.scope.partition(":")[0]
        named = f"{resource.removesuffix('s')}_id" if resource in LIMITABLE else None
        named = named if f"{{{named}}}" in self.path else None
        return guarded(self.handler, self.method, self.scope, named, lists=self.lists)


def operations(server: Server) -> list[Operation]:
    """Every operation, in the order of the docs."""
    return [
        *_core_operations(CoreOperations(server), MetricsOperations(server)),
        *_run_operations(server, "agent"),
        *_history_operations(HistoryOperations(server, "agent"), "agent"),
        *_run_operations(server, "team"),
        *_history_operations(HistoryOperations(server, "team"), "team"),
        Operation("GET", "/runs", "list_runs", "runs:read", RunListOperations(server).list),
        *_approval_operations(ApprovalOperations(server)),
        *_session_operations(SessionOperations(server)),
        *_session_event_operations(SessionEventOperations(server)),
        *_service_account_operations(ServiceAccountOperations(server)),
        *_webhook_operations(WebhookOperations(server)),
        *_memory_operations(MemoryOperations(server)),
        *_trace_operations(TraceOperations(server)),
        *_metrics_operations(DailyOperations(server)),
        *_database_operations(MigrationOperations(server)),
    ]


def _core_operations(core: CoreOperations, metrics: MetricsOperations) -> list[Operation]:
    return [
        Operation("GET", "/", "get_api_info", OPEN, core.home),
        Operation("GET", "/health", "health_check", OPEN, core.health),
        Operation("GET", "/info", "get_info", OPEN, core.info),
        Operation("GET", "/config", "get_config", "system:read", core.config),
        Operation("GET", "/models", "get_models", "system:read", core.models),
        Operation("GET", "/-/live", "get_liveness", OPEN, core.live),
        Operation("GET", "/-/ready", "get_readiness", OPEN, core.ready),
        Operation("GET", "/-/metrics", "get_prometheus_metrics", "system:metrics", metrics.get),
        Operation("GET", "/agents", "get_agents", "agents:read", core.agents, lists=True),
        Operation("GET", "/agents/{agent_id}", "get_agent", "agents:read", core.agent),
        Operation("GET", "/teams", "get_teams", "teams:read", core.teams, lists=True),
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


def _history_operations(history: HistoryOperations, kind: ComponentKind) -> list[Operation]:
    """What can be asked about what was said, under the same scope as runs."""
    one, scope = f"/{kind}s/{{{kind}_id}}", f"{kind}s:run"
    checkpoints, snapshot = f"{one}/runs/{{run_id}}/checkpoints", f"get_{kind}_run_checkpoint_snapshot"
    return [
        Operation("GET", checkpoints, f"list_{kind}_run_checkpoints", scope, history.checkpoints),
        Operation("GET", f"{checkpoints}/{{message_index}}", snapshot, scope, history.checkpoint),
        Operation("POST", f"{one}/sessions/{{session_id}}/fork", f"fork_{kind}_session", scope, history.fork),
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
    one, read, write, delete = "/sessions/{session_id}", "sessions:read", "sessions:write", "sessions:delete"
    return [
        Operation("GET", "/sessions", "get_sessions", read, sessions.list),
        Operation("POST", "/sessions", "create_session", write, sessions.create),
        Operation("DELETE", "/sessions", "delete_sessions", delete, sessions.delete_many),
        Operation("GET", one, "get_session_by_id", read, sessions.get),
        Operation("PATCH", one, "update_session", write, sessions.update),
        Operation("POST", f"{one}/rename", "rename_session", write, sessions.rename),
        Operation("DELETE", one, "delete_session", delete, sessions.delete),
        Operation("GET", f"{one}/runs", "get_session_runs", read, sessions.runs),
        Operation("GET", f"{one}/runs/{{run_id}}", "get_session_run", read, sessions.run),
        Operation("GET", f"{one}/run-previews", "get_session_run_previews", read, sessions.run_previews),
        Operation("GET", f"{one}/active", "list_active_session_runs", read, sessions.active),
    ]


def _service_account_operations(accounts: ServiceAccountOperations) -> list[Operation]:
    """Whoever makes accounts could give them everything: so they are for those who have it."""
    every, one = "/service-accounts", "/service-accounts/{service_account_id}"
    revoke = "revoke_service_account_service_accounts__service_account_id__delete"
    return [
        Operation("GET", every, "list_service_accounts_service_accounts_get", ADMIN, accounts.list),
        Operation("POST", every, "create_service_account_service_accounts_post", ADMIN, accounts.create),
        Operation("DELETE", one, revoke, ADMIN, accounts.revoke),
    ]


def _webhook_operations(webhooks: WebhookOperations) -> list[Operation]:
    every, read, write = "/webhooks/deliveries", "webhooks:read", "webhooks:write"
    one = f"{every}/{{delivery_id}}"
    return [
        Operation("GET", every, "list_webhook_deliveries", read, webhooks.list),
        Operation("GET", one, "get_webhook_delivery", read, webhooks.get),
        Operation("POST", f"{one}/redeliver", "redeliver_webhook", write, webhooks.redeliver),
    ]


def _memory_operations(memories: MemoryOperations) -> list[Operation]:
    every, one = "/memories", "/memories/{memory_id}"
    read, write, delete = "memories:read", "memories:write", "memories:delete"
    return [
        Operation("POST", every, "create_memory", write, memories.create),
        Operation("GET", every, "get_memories", read, memories.list),
        Operation("DELETE", every, "delete_memories", delete, memories.delete_many),
        Operation("GET", one, "get_memory", read, memories.get),
        Operation("PATCH", one, "update_memory", write, memories.update),
        Operation("DELETE", one, "delete_memory", delete, memories.delete),
        Operation("GET", "/memory_topics", "get_memory_topics", read, memories.topics),
        Operation("GET", "/user_memory_stats", "get_user_memory_stats", read, memories.stats),
        Operation("POST", "/optimize-memories", "optimize_memories", write, memories.optimize),
    ]


def _trace_operations(traces: TraceOperations) -> list[Operation]:
    read = "traces:read"
    return [
        Operation("GET", "/traces", "get_traces", read, traces.list),
        Operation("GET", "/traces/filter-schema", "get_traces_filter_schema", read, traces.filter_schema),
        Operation("POST", "/traces/search", "search_traces", read, traces.search),
        Operation("GET", "/traces/{trace_id}", "get_trace", read, traces.get),
        Operation("GET", "/trace_session_stats", "get_trace_stats", read, traces.stats),
    ]


def _metrics_operations(metrics: DailyOperations) -> list[Operation]:
    read, status = "metrics:read", "/metrics/refresh/status"
    return [
        Operation("GET", "/metrics", "get_metrics", read, metrics.list),
        Operation("POST", "/metrics/refresh", "refresh_metrics", "metrics:write", metrics.refresh),
        Operation("GET", status, "get_metrics_refresh_status", read, metrics.status),
    ]


def _database_operations(migrations: MigrationOperations) -> list[Operation]:
    one, write = "/databases/{db_id}/migrate", "system:write"
    return [
        Operation("POST", "/databases/all/migrate", "migrate_all_databases", write, migrations.all),
        Operation("POST", one, "migrate_database", write, migrations.one),
    ]


def _session_event_operations(events: SessionEventOperations) -> list[Operation]:
    return [Operation("GET", "/sessions/{session_id}/events", "follow_session", "sessions:read", events.follow)]


def routes(server: Server) -> list[Route]:
    """A route for every operation."""
    run_names = ChosenRunIds(server.database)
    return [Route(found.path, _named(found, run_names), methods=[found.method]) for found in operations(server)]


def _named(operation: Operation, run_names: ChosenRunIds) -> Handler:
    """The operation's handler; the border is told which it is."""
    name, handler = operation.operation_id, operation.guarded
    if "{run_id}" in operation.path:
        handler = by_name(handler, run_names)

    async def handle(request: Request) -> Response:
        request.scope["state"]["operation"] = name
        return await handler(request)

    return handle
