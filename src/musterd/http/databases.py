"""The one database, as requests name it."""

from starlette.requests import Request

from musterd.core.errors import NotFound
from musterd.wire.components import DB_ID


def require_database(request: Request) -> None:
    """Refuse a request whose ``db_id`` names another database than there is.

    :raises NotFound: it does.
    """
    require_known(request.query_params.get("db_id"))


def require_known(db_id: str | None) -> None:
    """Refuse the id of another database than there is; none, or an empty one, is any.

    :raises NotFound: it is another's.
    """
    if db_id and db_id != DB_ID:
        raise NotFound(f"No database found with id '{db_id}'")
