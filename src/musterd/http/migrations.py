"""The operations that ask for a migration. A server migrates its database when it starts, so they only confirm it."""

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.errors import InvalidInput, NotFound
from musterd.http.operation import operation
from musterd.http.parameters import Query, Text
from musterd.http.server import Server
from musterd.store.schema import HEAD
from musterd.wire.components import DB_ID

_ERRORS = {404: "Database not found", 422: "Not the schema of this version"}


class MigrationQuery(Query):
    """The query of a migration."""

    target_version: Text | None = Field(None, description="The schema version: there is one, the newest")

    @property
    def version(self) -> str:
        """The version in words."""
        return f"version {self.target_version}" if self.target_version else "latest version"


class MigrationResponse(TypedDict):
    """The outcome in words."""

    message: str


@operation(
    "POST",
    "/databases/all/migrate",
    "migrate_all_databases",
    scope="system:write",
    tag="Database",
    summary="Migrate All Databases",
    errors=_ERRORS,
)
async def migrate_all(server: Server, query: MigrationQuery) -> MigrationResponse:
    """Confirm the schema version. The server migrates its database when it starts, and never back."""
    _require_current(server, query)
    return {"message": f"All databases migrated successfully to {query.version}"}


@operation(
    "POST",
    "/databases/{db_id}/migrate",
    "migrate_database",
    scope="system:write",
    tag="Database",
    summary="Migrate Database",
    errors=_ERRORS,
)
async def migrate_one(server: Server, db_id: str, query: MigrationQuery) -> MigrationResponse:
    """Confirm the schema version. The server migrates its database when it starts, and never back."""
    if db_id != DB_ID:
        raise NotFound("Database not found")
    _require_current(server, query)
    return {"message": f"Database migrated successfully to {query.version}"}


def _require_current(server: Server, query: MigrationQuery) -> None:
    server.require_ready()
    if query.target_version not in (None, HEAD):
        words = f"This version's schema is {HEAD}; it is taken to no other"
        raise InvalidInput.at(("query", "target_version"), "value_error", words)


OPERATIONS = [migrate_all, migrate_one]
