"""The table of operations, in the order of the docs, and their routes."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.core.errors import NotFound
from musterd.core.ids import is_identifier
from musterd.core.records import COMPONENT_KINDS
from musterd.http import (
    approvals,
    checkpoints,
    events,
    me,
    migrations,
    probes,
    run_changes,
    run_details,
    run_lists,
    run_messages,
    runs,
    served_components,
    server_info,
    session_forks,
    session_stream,
    sessions,
    status,
    webhooks,
)
from musterd.http.auth.scopes import Handler, caller_of, guarded
from musterd.http.operation import AUTHENTICATED, OPEN, Operation
from musterd.http.paths import path_identifier
from musterd.http.run_components import with_component
from musterd.http.server import Server
from musterd.service.chosen_run_ids import ChosenRunIds

LIMITABLE = frozenset({"agents", "teams", "workflows"})
"""What a scope may be limited to one of: ``teams:desk:run``."""


def operations(server: Server) -> list[Operation]:
    """Every operation that is served, in the order of the docs."""
    on_runs = (
        *runs.OPERATIONS,
        *run_messages.OPERATIONS,
        *events.OPERATIONS,
        *checkpoints.OPERATIONS,
        *session_forks.OPERATIONS,
    )
    return [
        *server_info.OPERATIONS,
        *probes.OPERATIONS,
        *served_components.OPERATIONS,
        *me.OPERATIONS,
        *status.OPERATIONS,
        *(of_kinds[kind] for kind in COMPONENT_KINDS for of_kinds in on_runs),
        *run_lists.OPERATIONS,  # before operations on one run: `counts` and `changes` are no ids of runs
        *run_changes.OPERATIONS,
        *run_details.OPERATIONS,
        *(of_kinds["run"] for of_kinds in on_runs if "run" in of_kinds),
        *approvals.OPERATIONS,
        *sessions.OPERATIONS,
        *session_stream.OPERATIONS,
        *webhooks.OPERATIONS,
        *(operation for feature in server.features for operation in feature.operations),
        *migrations.OPERATIONS,
    ]


def routes(served: Iterable[Operation], server: Server) -> list[Route]:
    """A route for each operation."""
    chosen_ids = ChosenRunIds(server.database)
    return [
        Route(operation.path, _handler(operation, server, chosen_ids), methods=[operation.method])
        for operation in served
    ]


def _handler(operation: Operation, server: Server, chosen_ids: ChosenRunIds) -> Handler:
    """The operation's handler, which first notes the operation for the middleware, and checks the scope."""
    name, handler = operation.operation_id, _guarded(operation, operation.bind(server), server)
    if "{run_id}" in operation.path:
        handler = _with_chosen_run_id(handler, chosen_ids)

    async def handle(request: Request) -> Response:
        request.scope["state"]["operation"] = name
        return await handler(request)

    return handle


def _guarded(operation: Operation, handler: Handler, server: Server) -> Handler:
    """The handler, preceded by the check of the scope."""
    if operation.scope is OPEN or operation.scope == AUTHENTICATED:
        return handler
    if operation.of_any_run:
        needs_component = operation.needs_component
        return with_component(server, handler, operation.method, operation.scope, needs_component=needs_component)
    resource = operation.scope.partition(":")[0]
    parameter = f"{resource.removesuffix('s')}_id" if resource in LIMITABLE else None
    parameter = parameter if f"{{{parameter}}}" in operation.path else None
    return guarded(handler, operation.method, operation.scope, parameter, lists=operation.lists)


def _with_chosen_run_id(handler: Handler, chosen_ids: ChosenRunIds) -> Handler:
    """The handler, for paths that may name a run by the id that its user chose."""

    async def handle(request: Request) -> Response:
        id_in_path, caller = path_identifier(request, "run_id"), caller_of(request)
        run_id = await chosen_ids.run_id(id_in_path, caller)
        if run_id != id_in_path:
            request.path_params["run_id"] = run_id
        try:
            return await handler(request)
        except NotFound:
            # An administrator may use the id that a user chose. Only reads are retried: other requests have bodies,
            # which were read already.
            session_id = request.path_params.get("session_id") or request.query_params.get("session_id", "")
            if request.method not in ("GET", "HEAD") or not is_identifier(session_id):
                raise
            run_id_in_session = await chosen_ids.run_id_in_session(id_in_path, session_id, caller)
            if run_id_in_session is None or run_id_in_session == run_id:
                raise
            request.path_params["run_id"] = run_id_in_session
            return await handler(request)

    return handle
