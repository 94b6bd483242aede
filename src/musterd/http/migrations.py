"""The operations that ask for a schema: it is brought up to date when a server starts, so they say that it is."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import InvalidInput, NotFound
from musterd.http.paths import path_identifier
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.store.upgrade import HEAD
from musterd.wire.components import DB_ID


class MigrationOperations:
    """Say which schema the database has."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def all(self, request: Request) -> Response:
        """Every database: there is one."""
        self._require(request)
        return json_answer({"message": f"All databases migrated successfully to {_version(request)}"})

    async def one(self, request: Request) -> Response:
        """One database."""
        if path_identifier(request, "db_id") != DB_ID:
            raise NotFound("Database not found")
        self._require(request)
        return json_answer({"message": f"Database migrated successfully to {_version(request)}"})

    def _require(self, request: Request) -> None:
        """Refuse a schema that is not this program's: nothing is taken back, and a newer one needs a newer program."""
        self._server.require_ready()
        target = request.query_params.get("target_version")
        if target and target != HEAD:
            words = f"This version's schema is {HEAD}; it is taken to no other"
            raise InvalidInput.at(("query", "target_version"), "value_error", words)


def _version(request: Request) -> str:
    target = request.query_params.get("target_version")
    return f"version {target}" if target else "latest version"
