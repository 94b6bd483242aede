"""Query parameters that lists share."""

from musterd.http.openapi.described import Schema, in_query, ref, text, whole

DB_ID = in_query("db_id", text("The id of the database; there is one"))
DATABASE: list[Schema] = [DB_ID, in_query("table", text("Accepted; without effect"))]
LIMIT = in_query("limit", whole("Items on a page", minimum=1, maximum=1000, default=20))
PAGE = in_query("page", whole("The page, from 1", minimum=0, default=1))
SORT_ORDER = in_query("sort_order", {**ref("SortOrder"), "default": "desc"})
