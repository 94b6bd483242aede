"""What an operation asks of whoever calls it."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import Forbidden
from musterd.http.auth.principals import Principal
from musterd.http.paths import path_identifier

Handler = Callable[[Request], Awaitable[Response]]

SEEN_BY = ("read", "run")
"""What of a team or an agent makes it stand in lists."""


def principal_of(request: Request) -> Principal:
    """Who asks, as the border has found out."""
    principal: Principal = request.state.principal
    return principal


def guarded(handler: Handler, method: str, scope: str, named: str | None, *, lists: bool) -> Handler:
    """The handler, for whoever has the scope.

    :param named: the parameter of the path that names what a scope may be limited to.
    :param lists: it lists such things, and shows each caller its own: one scope for any of them is enough.
    """
    resource, action = scope.split(":")
    # Whoever may look at a team may look at runs of it, and runs ask for no more than that.
    enough = (scope, f"{resource}:read") if method == "GET" and action == "run" else (scope,)

    async def checked(request: Request) -> Response:
        scopes = principal_of(request).scopes
        only = path_identifier(request, named) if named is not None else None
        if not any(scopes.allows(one, only) for one in enough) and not (
            lists and scopes.allows_some(resource, SEEN_BY)
        ):
            raise Forbidden
        return await handler(request)

    return checked


def shows(request: Request, resource: str, resource_id: str) -> bool:
    """Whether a list shows this one to whoever asks."""
    scopes = principal_of(request).scopes
    return any(scopes.allows(f"{resource}:{action}", resource_id) for action in SEEN_BY)
