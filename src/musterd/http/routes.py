"""The table of endpoints: operations with their handlers, in the order of the docs."""

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from musterd.core.scopes import ADMIN
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
    usage,
    webhooks,
)
from musterd.http.auth.scopes import Handler, guarded
from musterd.http.chosen_run_ids import by_name
from musterd.http.operation import OPEN, Operation
from musterd.http.run_operation import KINDS
from musterd.http.server import Server
from musterd.http.service_accounts import ServiceAccountOperations
from musterd.service.chosen_run_ids import ChosenRunIds

LIMITABLE = frozenset({"agents", "teams"})
"""What a scope may be limited to one of: ``teams:desk:run``."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation with its handler, bound to a server.

    The parameters are those of :class:`musterd.http.operation.Operation`.

    :param declaration: its declaration; None: :mod:`musterd.http.openapi` describes it under its id.
    """

    method: str
    path: str
    operation_id: str
    scope: str | None
    handler: Handler
    lists: bool = False
    declaration: Operation | None = None

    @property
    def guarded(self) -> Handler:
        """The handler, behind the check of the scope."""
        if self.scope is OPEN:
            return self.handler
        resource = self.scope.partition(":")[0]
        named = f"{resource.removesuffix('s')}_id" if resource in LIMITABLE else None
        named = named if f"{{{named}}}" in self.path else None
        return guarded(self.handler, self.method, self.scope, named, lists=self.lists)


def endpoints(server: Server) -> list[Endpoint]:
    """Every endpoint, in the order of the docs."""
    return [
        *(_declared(operation, server) for operation in core.OPERATIONS),
        *(_declared(operation, server) for operation in _operations_on_runs()),
        *(_declared(operation, server) for operation in (*run_lists.OPERATIONS, *approvals.OPERATIONS)),
        *(_declared(operation, server) for operation in (*sessions.OPERATIONS, *session_stream.OPERATIONS)),
        *_service_account_operations(ServiceAccountOperations(server)),
        *(_declared(operation, server) for operation in webhooks.OPERATIONS),
        *_feature_operations(server),
        *(_declared(operation, server) for operation in (*usage.OPERATIONS, *migrations.OPERATIONS)),
    ]


def _operations_on_runs() -> Iterator[Operation]:
    """The operations of agents, then those of teams."""
    every = (*runs.OPERATIONS, *run_messages.OPERATIONS, *events.OPERATIONS, *history.OPERATIONS)
    return (operations[kind] for kind in KINDS for operations in every)


def _service_account_operations(accounts: ServiceAccountOperations) -> list[Endpoint]:
    """Whoever makes accounts could give them everything: so they are for those who have it."""
    every, one = "/service-accounts", "/service-accounts/{service_account_id}"
    revoke = "revoke_service_account_service_accounts__service_account_id__delete"
    return [
        Endpoint("GET", every, "list_service_accounts_service_accounts_get", ADMIN, accounts.list),
        Endpoint("POST", every, "create_service_account_service_accounts_post", ADMIN, accounts.create),
        Endpoint("DELETE", one, revoke, ADMIN, accounts.revoke),
    ]


def _feature_operations(server: Server) -> list[Endpoint]:
    return [_declared(operation, server) for feature in server.features for operation in feature.operations]


def _declared(operation: Operation, server: Server) -> Endpoint:
    return Endpoint(
        operation.method,
        operation.path,
        operation.operation_id,
        operation.scope,
        operation.bind(server),
        operation.lists,
        declaration=operation,
    )


def routes(endpoints_served: list[Endpoint], server: Server) -> list[Route]:
    """A route for each endpoint."""
    run_names = ChosenRunIds(server.database)
    return [
        Route(endpoint.path, _named(endpoint, run_names), methods=[endpoint.method]) for endpoint in endpoints_served
    ]


def _named(endpoint: Endpoint, run_names: ChosenRunIds) -> Handler:
    """The endpoint's handler, which first notes the operation for the middleware."""
    name, handler = endpoint.operation_id, endpoint.guarded
    if "{run_id}" in endpoint.path:
        handler = by_name(handler, run_names)

    async def handle(request: Request) -> Response:
        request.scope["state"]["operation"] = name
        return await handler(request)

    return handle
