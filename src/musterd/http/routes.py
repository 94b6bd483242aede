"""The table of operations, in the order of the docs, and their routes."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.http import (
    approvals,
    core,
    events,
    history,
    migrations,
    run_lists,
    run_messages,
    runs,
    session_stream,
    sessions,
    webhooks,
)
from musterd.http.auth.scopes import Handler, guarded
from musterd.http.chosen_run_ids import by_name
from musterd.http.operation import OPEN, Operation
from musterd.http.run_operation import KINDS
from musterd.http.server import Server
from musterd.service.chosen_run_ids import ChosenRunIds

LIMITABLE = frozenset({"agents", "teams"})
"""What a scope may be limited to one of: ``teams:desk:run``."""


def operations(server: Server) -> list[Operation]:
    """Every operation that is served, in the order of the docs."""
    on_runs = (*runs.OPERATIONS, *run_messages.OPERATIONS, *events.OPERATIONS, *history.OPERATIONS)
    return [
        *core.OPERATIONS,
        *(of_kinds[kind] for kind in KINDS for of_kinds in on_runs),
        *run_lists.OPERATIONS,
        *approvals.OPERATIONS,
        *sessions.OPERATIONS,
        *session_stream.OPERATIONS,
        *webhooks.OPERATIONS,
        *(operation for feature in server.features for operation in feature.operations),
        *migrations.OPERATIONS,
    ]


def routes(served: Iterable[Operation], server: Server) -> list[Route]:
    """A route for each operation."""
    run_names = ChosenRunIds(server.database)
    return [
        Route(operation.path, _handler(operation, server, run_names), methods=[operation.method])
        for operation in served
    ]


def _handler(operation: Operation, server: Server, run_names: ChosenRunIds) -> Handler:
    """The operation's handler, which first notes the operation for the middleware, and checks the scope."""
    name, handler = operation.operation_id, _guarded(operation, operation.bind(server))
    if "{run_id}" in operation.path:
        handler = by_name(handler, run_names)

    async def handle(request: Request) -> Response:
        request.scope["state"]["operation"] = name
        return await handler(request)

    return handle


def _guarded(operation: Operation, handler: Handler) -> Handler:
    """The handler, preceded by the check of the scope."""
    if operation.scope is OPEN:
        return handler
    resource = operation.scope.partition(":")[0]
    parameter = f"{resource.removesuffix('s')}_id" if resource in LIMITABLE else None
    parameter = parameter if f"{{{parameter}}}" in operation.path else None
    return guarded(handler, operation.method, operation.scope, parameter, lists=operation.lists)
