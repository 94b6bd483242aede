"""The caller of a request, and the check that it has the scope that an operation requires."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.errors import Forbidden
from musterd.http.auth.principals import Principal
from musterd.http.paths import path_identifier

Handler = Callable[[Request], Awaitable[Response]]

LISTED_FOR = ("read", "run")
"""A team or agent is listed for callers that may perform one of these actions on it."""


def principal_of(request: Request) -> Principal:
    """The authenticated caller of a request."""
    principal: Principal = request.state.principal
    return principal


def caller_of(request: Request) -> Caller:
    """The caller of a request, as services see it. All callers that use the shared key are the same."""
    caller: Caller = request.state.caller
    return caller


def guarded(handler: Handler, method: str, scope: str, parameter: str | None, *, lists: bool) -> Handler:
    """The handler, preceded by a check of the scope.

    :param parameter: the path parameter with the id of the resource, to which a scope may be limited.
    :param lists: whether the operation lists resources and shows each caller its own; then a scope for any of them
        is enough.
    """
    resource, action = scope.split(":")
    # A caller that may read a team may also read its runs.
    sufficient = (scope, f"{resource}:read") if method == "GET" and action == "run" else (scope,)

    async def checked(request: Request) -> Response:
        scopes = principal_of(request).scopes
        resource_id = path_identifier(request, parameter) if parameter is not None else None
        if not any(scopes.allows(alternative, resource_id) for alternative in sufficient) and not (
            lists and scopes.allows_some(resource, LISTED_FOR)
        ):
            raise Forbidden
        return await handler(request)

    return checked


def shows(request: Request, resource: str, resource_id: str) -> bool:
    """Whether a list includes this resource for the caller."""
    scopes = principal_of(request).scopes
    return any(scopes.allows(f"{resource}:{action}", resource_id) for action in LISTED_FOR)
