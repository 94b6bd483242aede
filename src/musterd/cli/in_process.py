"""Commands that use the application without a server: ``musterd openapi`` and ``musterd serve SOURCE --get PATH``."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator

import httpx2
from starlette.applications import Starlette

import musterd
from musterd.app import FEATURES, create_app
from musterd.cli.logs import configure
from musterd.cli.output import print_json
from musterd.cli.settings import settings_from
from musterd.cli.source import load_source
from musterd.core.settings import Settings
from musterd.declare import Registry
from musterd.declare.problems import reported_together
from musterd.engine.process_role import ProcessRole
from musterd.http.openapi.document import document
from musterd.http.routes import operations
from musterd.http.server import Server
from musterd.store import inspection

LISTENER = ProcessRole(drives_runs=False, does_upkeep=False)
"""The role of a process that only answers."""
WITHOUT_KEYS = {
    "auth": None,
    "security_key": "",
    "jwt_verification_key": "",
    "jwt_jwks_file": "",
    "jwt_jwks_url": "",
}
"""Settings with which no caller has to authenticate. Access to the database is full access."""


def openapi() -> int:
    """Print the OpenAPI document of the API.

    :raises StartError: an environment variable has an invalid value.
    """
    settings = settings_from(None)
    served = operations(Server(Registry.of(), settings, FEATURES, LISTENER))
    whole = document(served, title=settings.os_name, version=musterd.__version__)
    print_json(whole)
    return 0


def get(source: str, path: str, *, db: str | None) -> int:
    """Print the body of the answer to one request. Returns 0 if its status is below 400.

    :raises DeclarationError: a declaration is wrong.
    :raises StartError: the database cannot be used.
    """
    settings = settings_from(db).model_copy(update=WITHOUT_KEYS)
    configure(settings)
    with _existing_database(settings) as url:
        settings = settings.model_copy(update={"db": url})
        with reported_together():
            loaded = load_source(source, settings)
            app = create_app(registry=loaded.registry, settings=loaded.settings, process_role=LISTENER)
        app.state.server.prepare()
        response = asyncio.run(_response(app, path))
    sys.stdout.buffer.write(response.content)
    if sys.stdout.isatty() and not response.content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    if response.is_success:
        return 0
    print(f"musterd: {response.status_code} {response.reason_phrase}", file=sys.stderr)  # noqa: T201
    return 1


@contextlib.contextmanager
def _existing_database(settings: Settings) -> Iterator[str]:
    """The URL of the database, or of an empty temporary one: a request that only reads must not create one."""
    if inspection.revision(settings.db) is not None:
        yield settings.db
        return
    with tempfile.TemporaryDirectory(prefix="musterd-") as folder:
        yield f"sqlite:///{folder}/empty.db"


async def _response(app: Starlette, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=None) as client,
    ):
        return await client.get(path, follow_redirects=True)
