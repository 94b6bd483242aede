"""The ASGI application: all operations and features, behind the middleware."""

import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterable

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

import musterd
from musterd.core.errors import MethodNotAllowed
from musterd.core.log_rendering import LossyPrinter, console_renderer, escape_control_characters
from musterd.core.settings import Settings
from musterd.declare import Agent, Knowledge, Registry, Schedule, Team, Workflow
from musterd.engine.process_role import ProcessRole
from musterd.features.accounts import api as accounts
from musterd.features.knowledge import api as knowledge_bases
from musterd.features.memories import api as memories
from musterd.features.schedules import api as schedules
from musterd.features.traces import api as traces
from musterd.features.usage import api as usage
from musterd.http.auth.authenticator import Authenticator
from musterd.http.auth.middleware import Authentication
from musterd.http.auth.rate_limits import RateLimits
from musterd.http.docs import docs_routes
from musterd.http.middleware import Errors, HostCheck, HostRules, RequestLog, SecurityHeaders
from musterd.http.paths import EscapedSlashes, SlashRedirect
from musterd.http.request_bodies import BodyLimits
from musterd.http.responses import error_answer
from musterd.http.routes import operations, routes
from musterd.http.server import Server
from musterd.http.ui import ui_routes
from musterd.http.workflow_socket import socket_route

FEATURES = [
    accounts.FEATURE,
    knowledge_bases.FEATURE,
    memories.FEATURE,
    schedules.FEATURE,
    traces.FEATURE,
    usage.FEATURE,
]
PROBES = frozenset({"/-/live", "/-/ready", "/-/metrics", "/health"})


def create_app(  # noqa: PLR0913 - each argument is named where it is given
    *,
    teams: Iterable[Team] = (),
    agents: Iterable[Agent] = (),
    workflows: Iterable[Workflow] = (),
    schedules: Iterable[Schedule] = (),
    knowledge: Iterable[Knowledge] = (),
    registry: Registry | None = None,
    settings: Settings | None = None,
    is_loopback: bool = True,
    process_role: ProcessRole | None = None,
) -> Starlette:
    """The application that serves these teams, agents, workflows and knowledge bases, and keeps these schedules.

    Its lifespan opens the database and drives runs. Serve it with one uvicorn process; if you mount it into another
    application, run its lifespan there.

    :param registry: the result of :func:`musterd.declare.load`, instead of ``teams``, ``agents``, ``workflows``,
        ``schedules`` and ``knowledge``. Knowledge bases that agents and teams use need not be listed.
    :param settings: by default those of the environment.
    :param process_role: the role of the process; by default it drives runs and reassigns those of dead processes.
    :param is_loopback: whether it listens on loopback only; then the ``Host`` header is checked.
    :raises DeclarationError: a declaration is wrong; the message says where, and how to fix it.
    :raises StartError: the settings cannot be served.
    """
    settings = settings or Settings()
    configure_log(settings)
    registry = registry or Registry.of(
        teams=teams, agents=agents, workflows=workflows, schedules=schedules, knowledge=knowledge
    )
    return application(Server(registry, settings, FEATURES, process_role), is_loopback=is_loopback)


def application(server: Server, *, is_loopback: bool = True) -> Starlette:
    """The application that serves this server's components: :func:`create_app` with a server of its own.

    :raises StartError: the settings cannot be served.
    """
    settings = server.settings
    authenticator = Authenticator(settings, server.issued_tokens)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with server.running():
            authenticator.begin()
            try:
                yield
            finally:
                authenticator.close()

    app = Starlette(
        routes=_routes(server),
        lifespan=lifespan,
        exception_handlers={MethodNotAllowed.status: _answer_wrong_method},
        middleware=_middleware(server, authenticator, is_loopback=is_loopback),
    )
    app.router.redirect_slashes, app.router.default = False, SlashRedirect(app.router)
    app.state.server = server
    return app


def keep_probes(app: Starlette) -> Starlette:
    """Remove all routes except the probes and the metrics, for a process that only drives runs."""
    app.router.routes[:] = [route for route in app.router.routes if isinstance(route, Route) and route.path in PROBES]
    return app


def configure_log(settings: Settings) -> None:
    """Log text to standard output at the level of the settings, unless the application has configured structlog."""
    if not structlog.is_configured():
        level = getattr(logging, settings.log_level.upper())
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                escape_control_characters,
                console_renderer(sys.stdout),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *names: LossyPrinter(),
        )


def _middleware(server: Server, authenticator: Authenticator, *, is_loopback: bool) -> list[Middleware]:
    """The middleware, outermost first."""
    settings = server.settings
    return [
        Middleware(RequestLog, server.metrics, logs_requests=settings.log_requests),
        Middleware(SecurityHeaders),
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=["*"],
        ),
        Middleware(Errors),
        Middleware(HostCheck, HostRules.of(settings, is_loopback=is_loopback)),
        Middleware(Authentication, authenticator, RateLimits(settings), server.metrics),
        Middleware(BodyLimits, settings),
        Middleware(EscapedSlashes),
    ]


def _routes(server: Server) -> list[BaseRoute]:
    served = operations(server)
    docs = docs_routes(served, title=server.settings.os_name, version=musterd.__version__)
    return [
        socket_route(server),
        *routes(served, server),
        *(docs if server.settings.docs_enabled else []),
        *ui_routes(),
    ]


async def _answer_wrong_method(request: Request, error: Exception) -> Response:
    """Name all methods of the path. The router knows only those of the first route that matches."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    on_path = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    answer = error_answer(MethodNotAllowed(), request.state.request_id)
    answer.headers["Allow"] = ", ".join(sorted({method for route in on_path for method in route.methods or ()}))
    return answer
