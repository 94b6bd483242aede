"""Listing sessions: one page, and the number of matches.

Each sort order has an index that contains every column a list can filter by. Pages of one user's, one owner's or one
component's sessions use an index on these. A search by name matches substrings, so it compares all sessions that the
other conditions leave; on SQLite an index contains their names, and only the rows of the page are read in full. A
filter by finished states looks up the last run of each of them; one by unfinished states begins with the unfinished
runs, which are few.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core.callers import Caller
from musterd.core.records import SessionRow
from musterd.core.states import FINAL, RunState
from musterd.store.database import Statement, Tx
from musterd.store.list_conditions import equalities, like_literal
from musterd.store.rows import session_row

ORDERS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "session_name": "substr(COALESCE(name, first_message), 1, 100)",  # as in the index: names may be long
}
"""The sort orders; each has an index."""
_COMPONENT = ("component_kind", "component_id")
MAX_STATES = 1024 * 1024
"""The most characters of sessions' states that one page holds. Users choose their length, and a page has 1,000."""
_COLUMNS = """session_id, owner, user_id, component_kind, component_id, name, first_message, next_seq, created_at,
              updated_at, deleted_at, forked_from, NULL AS metadata, NULL AS summary,
              CASE WHEN length(state) <= :max_state THEN state END AS state"""
_OTHERS = ("pattern", "text", "last_states", "live_states")
"""The conditions that are not equalities."""
_LAST_STATE = (
    "(SELECT r.state FROM runs r WHERE r.session_id = sessions.session_id AND r.seq >= 0 ORDER BY r.seq DESC LIMIT 1)"
)
# The states are constants so that the partial index of unfinished runs can be used.
_LIVE = """SELECT r.session_id FROM runs r WHERE r.parent_id IS NULL
           AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused')"""
_BY_STATE = {
    "last_states": f"IN_LIST({_LAST_STATE}, :last_states) AND session_id NOT IN ({_LIVE})",
    "live_states": f"session_id IN ({_LIVE} AND IN_LIST(r.state, :live_states))",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions to list, and in which order. None: no such condition.

    :param name: a part of the name that clients see.
    :param text: a part of the given name or of the first message.
    :param states: a run has one of these, or all runs have finished and the last one has it.
    """

    component_kind: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    text: str | None = None
    states: Collection[RunState] | None = None
    sort_by: str = "created_at"
    descending: bool = True
    limit: int = 20
    page: int = 1


def page_of(query: SessionFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, and its parameters."""
    values, is_search = _values(query, caller), bool(query.name or query.text)
    order, direction = ORDERS[query.sort_by], "DESC" if query.descending else "ASC"
    by_order = f"ORDER BY {order} {direction}, session_id {direction}"
    matching = f"SELECT session_id FROM sessions WHERE {_where(values, _page_index(query, values))}"
    if is_search and query.sort_by != "created_at":
        # The index that contains whole names is in the order of creation. Find the matches there, then sort them.
        matching = f"SELECT session_id FROM sessions WHERE session_id IN ({matching})"
    text = f"""SELECT {_COLUMNS} FROM sessions
               WHERE session_id IN ({matching} {by_order} LIMIT :limit OFFSET :offset) {by_order}"""
    offset = max(query.page - 1, 0) * query.limit
    page = {"limit": query.limit, "offset": offset, "max_state": MAX_STATES // max(query.limit, 1)}
    return Statement(f"sessions_page {sorted(values)} {order} {direction}", text), {**values, **page}


def count_of(query: SessionFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that counts all matches, and its parameters."""
    values = _values(query, caller)
    where = _where(values, _count_index(values))
    return Statement(f"sessions_count {sorted(values)}", f"SELECT count(*) AS n FROM sessions WHERE {where}"), values


async def search(tx: Tx, query: SessionFilter, caller: Caller) -> tuple[Sequence[SessionRow], int]:
    """One page of sessions, and the number of all matches."""
    count = await tx.one(*count_of(query, caller))
    page = await tx.all(*page_of(query, caller))
    return [session_row(row) for row in page], 0 if count is None else int(count["n"])


def _values(query: SessionFilter, caller: Caller) -> dict[str, Any]:
    values = {
        "component_kind": query.component_kind,
        "component_id": query.component_id,
        "user_id": query.user_id,
        "owner": caller.sees_only,
        "pattern": "%" + like_literal(query.name) + "%" if query.name else None,
        "text": "%" + like_literal(query.text) + "%" if query.text else None,
    }
    if query.states is not None:
        last, live = FINAL & set(query.states), set(query.states) - FINAL
        values["last_states"] = json.dumps(sorted(last)) if last or not live else None
        values["live_states"] = json.dumps(sorted(live)) if live else None
    return {name: value for name, value in values.items() if value is not None}


def _page_index(query: SessionFilter, values: Mapping[str, Any]) -> Collection[str]:
    """The columns of the index that finds the page; none: all sessions are scanned in the order of the page."""
    is_search = bool(query.name or query.text)
    if is_search or not (column := _person(values)):
        is_ordered = not is_search and query.sort_by == "created_at" and values.keys() >= set(_COMPONENT)
        return _COMPONENT if is_ordered else ()
    return (column,)


def _count_index(values: Mapping[str, Any]) -> Collection[str]:
    """The columns of the index for the count."""
    if "pattern" in values or "text" in values:
        return ()
    if column := _person(values):
        return (column,)
    return _COMPONENT if "component_kind" in values else ()


def _person(values: Mapping[str, Any]) -> str | None:
    """The column that filters by user: the sessions of one user are few enough to be sorted."""
    return next((column for column in ("user_id", "owner") if column in values), None)


def _where(values: Mapping[str, Any], by_index: Collection[str]) -> str:
    conditions = ["deleted_at IS NULL", *equalities((name for name in values if name not in _OTHERS), by_index)]
    if "pattern" in values:
        conditions.append("lower(COALESCE(name, first_message)) LIKE lower(:pattern) ESCAPE '\\'")
    if "text" in values:
        contains = "LIKE lower(:text) ESCAPE '\\'"
        conditions.append(f"(lower(COALESCE(name, '')) {contains} OR lower(first_message) {contains})")
    if states := [condition for name, condition in _BY_STATE.items() if name in values]:
        conditions.append(f"({' OR '.join(states)})")
    return " AND ".join(conditions)
