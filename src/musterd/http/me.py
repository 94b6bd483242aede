"""The operation that tells a caller who it is."""

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from typing_extensions import TypedDict

from musterd.http.auth.modes import auth_mode
from musterd.http.auth.principals import PrincipalKind
from musterd.http.auth.scopes import principal_of
from musterd.http.operation import AUTHENTICATED, operation
from musterd.http.server import Server


class MeResponse(TypedDict):
    """The caller of the request."""

    user_id: Annotated[
        str | None, Field(description="The user that the token proves; null with the shared key or without a key.")
    ]
    principal: Annotated[PrincipalKind, Field(description="How the caller is authenticated; `open`: not at all.")]
    name: Annotated[str | None, Field(description="The account's name, or the claim `name` of a user's token.")]
    scopes: list[str]
    is_admin: Annotated[bool, Field(description="Whether it may do everything and see the data of all users.")]
    auth_required: Annotated[bool, Field(description="Whether this server requires a key or token.")]


@operation("GET", "/me", "get_me", scope=AUTHENTICATED, tag="Core", summary="Get Caller")
async def get_me(server: Server, request: Request) -> MeResponse:
    """Get who the caller is and what it may do. No scope is required."""
    principal = principal_of(request)
    return {
        "user_id": principal.caller.user_id,
        "principal": principal.kind,
        "name": principal.display_name,
        "scopes": sorted(principal.scopes.granted),
        "is_admin": principal.scopes.is_admin,
        "auth_required": auth_mode(server.settings) != "none",
    }


OPERATIONS = [get_me]
