"""The database of a server, for commands that work on it without the server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from musterd.cli.logs import configure
from musterd.core.errors import StartError
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings
from musterd.store import inspection
from musterd.store.database import Database
from musterd.store.open_database import open_database

T = TypeVar("T")


def with_database(
    settings: Settings, action: Callable[[Database], Awaitable[T]], *, creates_database: bool = False
) -> T:
    """The result of ``action`` on the database of ``settings``.

    :param creates_database: whether to create a missing database; otherwise a missing one is taken for a typing error.
    :raises StartError: the database cannot be used, or is not one of musterd.
    """
    configure(settings)
    if not creates_database and inspection.revision(settings.db) is None:
        raise StartError(f"{redacted_url(settings.db)}: no musterd database found — specify one with --db")
    database = open_database(settings.db, connections=settings.db_connections, prepares=settings.db_prepares)
    database.upgrade()

    async def run() -> T:
        await database.open()
        try:
            return await action(database)
        finally:
            await database.close()

    return asyncio.run(run())
