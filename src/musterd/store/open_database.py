"""Which database a URL names."""

from pathlib import Path

from musterd.core.errors import StartError
from musterd.store.database import Database
from musterd.store.sqlite import SqliteDatabase

PLACES = frozenset({"host", "hostaddr", "port", "dbname"})
"""Parameters of a URL that say where the database is."""


def open_database(url: str, *, connections: int | None = None, prepares: bool = True) -> Database:
    """The database that ``url`` names, ready to be opened.

    :param connections: of Postgres, at most; None for the default.
    :param prepares: whether Postgres is to prepare statements; False behind a pooler that cannot have that.
    :raises StartError: it is not a URL of a database that musterd can use, in words.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgresql", "postgres") and separator:
        return _postgres(url, connections, prepares)
    if scheme.startswith(("postgresql+", "postgres+")):
        raise StartError(f"--db {scheme}://…: names a driver — use postgresql://{_without_password(rest)}")
    return SqliteDatabase(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """The file that a database URL names.

    :raises StartError: it is not a URL of a database that musterd knows.
    """
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator or not rest.startswith("/") or len(rest) < 2:
        raise StartError(
            f"--db {shown_url(url)}: not a database that musterd knows — use sqlite:///relative.db, "
            "sqlite:////absolute/path.db or postgresql://user@host/database"
        )
    return Path(rest[1:]).absolute()


def _postgres(url: str, connections: int | None, prepares: bool) -> Database:
    try:
        from musterd.store.postgres import CONNECTIONS, PostgresDatabase
    except ImportError as error:
        raise StartError(
            f"--db {url.partition('://')[0]}://…: needs psycopg ({error.name} is missing) — "
            "pip install 'musterd[postgres]'"
        ) from error
    return PostgresDatabase(url, connections=connections or CONNECTIONS, prepares=prepares)


def shown_url(url: str) -> str:
    """The URL without its passwords: of its parameters those alone that say where the database is."""
    scheme, separator, rest = url.partition("://")
    if not separator or url.startswith("sqlite:///"):
        return url
    return f"{scheme}://{_without_password(rest)}"


def _without_password(rest: str) -> str:
    place, _, query = rest.partition("?")
    if "@" in query and "@" not in place:  # the "?" or the "@" is part of a password: nobody can tell which
        return "…"
    user, at, place = place.rpartition("@")
    told = "&".join(one for one in query.split("&") if one.partition("=")[0] in PLACES)
    return f"{user.partition(':')[0]}{at}{place}" + (f"?{told}" if told else "")
