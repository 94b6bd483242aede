"""The ASGI application: every operation, and the border that each request passes."""

import contextlib
from collections.abc import AsyncIterator, Iterable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

import musterd
from musterd.core.errors import MusterdError, RequestError
from musterd.core.settings import Settings
from musterd.http.answers import error_answer
from musterd.http.border import BodyLimit, Doors, Errors, Gate, RequestIds, from_http_exception
from musterd.http.contract import add_operations, operations
from musterd.http.docs import add_docs
from musterd.http.server import Server
from musterd.specs import Agent, Registry, Team


def create_app(
    *,
    teams: Iterable[Team] = (),
    agents: Iterable[Agent] = (),
    registry: Registry | None = None,
    settings: Settings | None = None,
    is_loopback: bool = True,
) -> FastAPI:
    """The application that serves these teams and agents.

    Its lifespan opens the database and drives runs: serve it with one process of uvicorn, or hand its lifespan on
    where it is mounted into another application.

    :param registry: in place of ``teams`` and ``agents``, what :func:`musterd.specs.load` found.
    :param settings: default: from the environment.
    :param is_loopback: whether it is bound to loopback only; then the ``Host`` header is checked.
    :raises DeclarationError: a declaration is wrong; the message names place and cure.
    :raises StartError: it cannot be served as asked.
    """
    settings = settings or Settings()
    server = Server(registry or Registry.of(teams=teams, agents=agents), settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with server.running():
            yield

    app = FastAPI(
        title=settings.os_name,
        description=settings.os_description,
        version=musterd.__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={MusterdError: _answer_error, HTTPException: _answer_http_exception},
        middleware=[
            Middleware(RequestIds),
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["*"],
                allow_headers=["*"],
                allow_credentials=True,
                expose_headers=["*"],
            ),
            Middleware(Errors),
            Middleware(Gate, Doors.of(settings, is_loopback=is_loopback)),
            Middleware(BodyLimit, settings.body_bytes),
        ],
    )
    app.state.server = server
    add_operations(app, server)
    if settings.docs_enabled:
        add_docs(app, operations(server))
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    return error_answer(error, request.state.request_id)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    answer = error_answer(from_http_exception(error), request.state.request_id)
    answer.headers.update(error.headers or {})
    return answer
