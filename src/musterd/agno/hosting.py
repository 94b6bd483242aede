"""Serves musterd inside the application of a file: its ``base_app``, or what it got from ``AgentOS.get_app()``.

So the routes, the middleware and the lifespan of that application stay in use.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_HARMLESS = frozenset({"cors", "gzip", "httpsredirect", "trustedhost"})
"""Modules of Starlette with middleware that says nothing of users."""


def has_token_middleware(app: Any) -> bool:
    """Whether an application has Agno's ``JWTMiddleware``, which says who the user of a request is."""
    return any(
        base.__name__ == "JWTMiddleware" and base.__module__.startswith("agno.")
        for middleware in app.user_middleware
        for base in getattr(middleware.cls, "__mro__", ())
    )


def own_middleware(app: Any) -> list[str]:
    """The names of an application's middleware that may say who the user of a request is."""
    classes = [middleware.cls for middleware in app.user_middleware]
    harmless = {f"starlette.middleware.{name}" for name in _HARMLESS}
    return list(dict.fromkeys(getattr(cls, "__name__", "…") for cls in classes if cls.__module__ not in harmless))


@dataclass(frozen=True, slots=True)
class HostApplication:
    """The application of a file.

    :param own_routes_first: whether its own routes take precedence over those of musterd with the same path.
    """

    app: Any
    own_routes_first: bool

    @property
    def has_routes(self) -> bool:
        """Whether it has routes of its own."""
        return any(not isinstance(route, _Operations) for route in self.app.routes)

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """What the application opens before the first request, and closes after the last one."""
        context: AbstractAsyncContextManager[Any] = self.app.router.lifespan_context(self.app)
        return context

    def serve_inside(self, server_app: Starlette) -> Starlette:
        """The application with the operations of ``server_app``, whose lifespan becomes part of its own."""
        host: Starlette = self.app
        router, own_lifespan = host.router, host.router.lifespan_context

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[Any]:
            # Runs are driven only while what the own lifespan opens is open: tools may need it.
            async with own_lifespan(app) as state, server_app.router.lifespan_context(server_app):
                yield state

        router.lifespan_context = lifespan
        if not self.own_routes_first:
            router.routes.insert(0, _Operations(server_app))
        router.default = server_app  # also for its answers to unknown paths
        host.state.server = server_app.state.server
        return host


class _Operations(BaseRoute):
    """All operations of an application, as one route of another application.

    It has a path and a name because some applications list the paths and names of their routes.
    """

    path, name = "", "musterd"

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        routes = self._app.router.routes
        is_known = any(route.matches(scope)[0] is not Match.NONE for route in routes)
        return (Match.FULL if is_known else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
