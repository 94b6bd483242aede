"""The table of endpoints: operations with their handlers, in the order of the docs."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.core.records import ComponentKind
from musterd.core.scopes import ADMIN
from musterd.http import approvals, core, migrations, usage, webhooks
from musterd.http.auth.scopes import Handler, guarded
from musterd.http.chosen_run_ids import by_name
from musterd.http.events import EventOperations
from musterd.http.history import HistoryOperations
from musterd.http.operation import OPEN
from musterd.http.operation import Operation as Declaration
from musterd.http.run_lists import RunListOperations
from musterd.http.runs import RunOperations
from musterd.http.server import Server
from musterd.http.service_accounts import ServiceAccountOperations
from musterd.http.session_stream import SessionEventOperations
from musterd.http.sessions import SessionOperations
from musterd.service.chosen_run_ids import ChosenRunIds

LIMITABLE = frozenset({"agents", "teams"})
"""What a scope may be limited to one of: ``teams:desk:run``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API; :mod:`musterd.http.openapi` describes it under its id.

    :param scope: what a token must be allowed, ``resource:action``, or :data:`OPEN`. Where the path names a team or an
        agent, a scope of that one alone (``teams:desk:run``) is enough.
    :param lists: it lists what scopes may be limited to, and shows each caller its own: any such scope is enough.
    :param declaration: what describes it, unless :mod:`musterd.http.openapi` does.
    """

    method: str
    path: str
    operation_id: str
    scope: str | None
    handler: Handler
    lists: bool = False
    declaration: Declaration | None = None

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
        *(_declared(one, server) for one in core.OPERATIONS),
        *_run_operations(server, "agent"),
        *_history_operations(HistoryOperations(server, "agent"), "agent"),
        *_run_operations(server, "team"),
        *_history_operations(HistoryOperations(server, "team"), "team"),
        Operation("GET", "/runs", "list_runs", "runs:read", RunListOperations(server).list),
        *(_declared(one, server) for one in approvals.OPERATIONS),
        *_session_operations(SessionOperations(server)),
        *_session_event_operations(SessionEventOperations(server)),
        *_service_account_operations(ServiceAccountOperations(server)),
        *(_declared(one, server) for one in webhooks.OPERATIONS),
        *_feature_operations(server),
        *(_declared(one, server) for one in (*usage.OPERATIONS, *migrations.OPERATIONS)),
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


def _feature_operations(server: Server) -> list[Operation]:
    return [_declared(one, server) for feature in server.features for one in feature.operations]


def _declared(one: Declaration, server: Server) -> Operation:
    return Operation(one.method, one.path, one.operation_id, one.scope, one.bind(server), one.lists, declaration=one)


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
