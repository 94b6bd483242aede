"""Finding sessions: a page of them, and how many there are, by the indexes made for what clients ask.

A part of a name can be anywhere, so all sessions that the other conditions leave are compared. SQLite finds what it
compares in one index; only the page is read whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core.callers import Caller
from musterd.core.records import SessionRow
from musterd.store.database import Statement, Tx
from musterd.store.patterns import like_literal
from musterd.store.rows import session_row

SORTABLE = frozenset({"created_at", "updated_at", "session_name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions to list, and how. None: no such condition."""

    component_kind: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    sort_by: str = "created_at"
    descending: bool = True
    limit: int = 20
    page: int = 1


def page_of(wanted: SessionFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, and its parameters."""
    where, params = _where(wanted, caller)
    order = "COALESCE(name, first_message)" if wanted.sort_by == "session_name" else wanted.sort_by
    direction = "DESC" if wanted.descending else "ASC"
    by_order = f"ORDER BY {order} {direction}, session_id {direction}"
    found = f"FROM sessions WHERE {where} {by_order} LIMIT :limit OFFSET :offset"
    text = f"SELECT * {found}"
    if wanted.name:
        text = f"SELECT * FROM sessions WHERE session_id IN (SELECT session_id {found}) {by_order}"
    page = {"limit": wanted.limit, "offset": max(wanted.page - 1, 0) * wanted.limit}
    return Statement(f"sessions_page {sorted(params)} {order} {direction}", text), {**params, **page}


def count_of(wanted: SessionFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that counts all that match, and its parameters."""
    where, params = _where(wanted, caller)
    return Statement(f"sessions_count {sorted(params)}", f"SELECT count(*) AS n FROM sessions WHERE {where}"), params


async def search(tx: Tx, wanted: SessionFilter, caller: Caller) -> tuple[Sequence[SessionRow], int]:
    """One page of sessions and the number of all that match."""
    count = await tx.one(*count_of(wanted, caller))
    page = await tx.all(*page_of(wanted, caller))
    return [session_row(row) for row in page], 0 if count is None else int(count["n"])


def _where(wanted: SessionFilter, caller: Caller) -> tuple[str, dict[str, Any]]:
    conditions = ["deleted_at IS NULL"]
    params: dict[str, Any] = {}
    for column, value in (
        ("component_kind", wanted.component_kind),
        ("component_id", wanted.component_id),
        ("user_id", wanted.user_id),
        ("owner", caller.sees_only),
    ):
        if value is not None:
            # Where names are compared a component is no way to the sessions: it would be one past the index of names.
            is_term = wanted.name and column.startswith("component")
            conditions.append(f"{column} || '' = :{column}" if is_term else f"{column} = :{column}")
            params[column] = value
    if wanted.name:
        conditions.append("lower(COALESCE(name, first_message)) LIKE lower(:pattern) ESCAPE '\\'")
        params["pattern"] = "%" + like_literal(wanted.name) + "%"
    return " AND ".join(conditions), params
