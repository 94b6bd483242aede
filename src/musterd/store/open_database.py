"""Opening the database that a URL names."""

from pathlib import Path

from musterd.core.errors import StartError
from musterd.core.redacted_urls import redacted_url
from musterd.store.database import Database
from musterd.store.sqlite import SqliteDatabase


def open_database(url: str, *, connections: int | None = None, prepares: bool = True) -> Database:
    """The database that ``url`` names, ready to be opened.

    :param connections: the maximum number of Postgres connections; None for the default.
    :param prepares: whether statements are prepared on Postgres; False behind a pooler that does not support it.
    :raises StartError: musterd cannot use such a database; the message says why.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgresql", "postgres") and separator:
        return _postgres(url, connections, prepares)
    if scheme.startswith(("postgresql+", "postgres+")):
        raise StartError(f"--db {scheme}://…: names a driver — use {redacted_url(f'postgresql://{rest}')}")
    return SqliteDatabase(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """The file that a database URL names.

    :raises StartError: it is not a URL of a database that musterd knows.
    """
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator or not rest.startswith("/") or len(rest) < 2:
        raise StartError(
            f"--db {redacted_url(url)}: not a supported database URL — use sqlite:///relative.db, "
            "sqlite:////absolute/path.db or postgresql://user@host/database"
        )
    return Path(rest[1:]).absolute()


def _postgres(url: str, connections: int | None, prepares: bool) -> Database:
    try:
        from musterd.store.postgres import CONNECTIONS, PostgresDatabase
    except ImportError as error:
        raise StartError(
            f"--db {url.partition('://')[0]}://…: requires psycopg ({error.name} is missing) — "
            "pip install 'musterd[postgres]'"
        ) from error
    return PostgresDatabase(url, connections=connections or CONNECTIONS, prepares=prepares)
