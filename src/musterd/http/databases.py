"""The one database, as requests name it."""

from starlette.requests import Request

from musterd.core.errors import NotFound
from musterd.wire.components import DB_ID


def require_database(request: Request) -> None:
    """Refuse a request whose ``db_id`` names another database than there is; none, or an empty one, is any.

    :raises NotFound: it does.
    """
    db_id = request.query_params.get("db_id")
    if db_id and db_id != DB_ID:
        raise NotFound(f"No database found with id '{db_id}'")
