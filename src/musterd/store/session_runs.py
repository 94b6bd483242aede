"""The root runs of a session, for event streams of the whole session."""

from collections.abc import Sequence
from dataclasses import replace

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.records import RunRow
from musterd.core.session_cursors import Cursor
from musterd.store import sessions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import RUN_COLUMNS, run_row
from musterd.store.shards import SessionTx

LIVE = Statement(
    "session_runs_live",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE session_id = :session_id AND shard = :shard AND parent_id IS NULL
        AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq""",
)
AFTER = Statement(
    "session_runs_behind",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE session_id = :session_id AND shard = :shard AND seq > :seq
        AND parent_id IS NULL ORDER BY seq LIMIT :limit""",
)
NAMED = Statement(
    "session_runs_named",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE IN_LIST(run_id, :run_ids) AND shard = :shard
        AND session_id = :session_id AND parent_id IS NULL ORDER BY seq""",
)


async def live(tx: Tx, session_id: str, caller: Caller) -> tuple[list[RunRow], Cursor] | None:
    """The unfinished runs, in order, and a cursor after the session's last run. None: no such session."""
    session = await sessions.get(tx, session_id, caller)
    if session is None:
        return None
    rows = await SessionTx(tx, session_id).all(LIVE, {"session_id": session_id})
    return _visible(rows, caller), Cursor(session.next_seq - 1, session_created_at=session.created_at)


async def named(tx: Tx, session_id: str, caller: Caller, cursor: Cursor) -> tuple[list[RunRow], Cursor] | None:
    """The cursor's runs that belong to this session, in order, and the cursor. None: no such session.

    A cursor of a deleted session with the same id is replaced: the new session is read from its start.
    """
    session = await sessions.get(tx, session_id, caller)
    if session is None:
        return None
    if cursor.session_created_at != session.created_at:
        return [], Cursor(session_created_at=session.created_at)
    params = {"session_id": session_id, "run_ids": jsontext.dumps(list(cursor.runs))}
    # Clients may send any number, and the subscription counts up to it.
    known = replace(cursor, seq=min(cursor.seq, session.next_seq - 1))
    return _visible(await SessionTx(tx, session_id).all(NAMED, params), caller), known


async def after(tx: Tx, session_id: str, caller: Caller, cursor: Cursor, limit: int) -> list[RunRow] | None:
    """Up to ``limit`` runs after the cursor, in order. None: no such session, or a new one with the same id."""
    session = await sessions.get(tx, session_id, caller)
    if session is None or session.created_at != cursor.session_created_at:
        return None
    params = {"session_id": session_id, "seq": cursor.seq, "limit": limit}
    return _visible(await SessionTx(tx, session_id).all(AFTER, params), caller)


def _visible(rows: Sequence[Row], caller: Caller) -> list[RunRow]:
    return [run_row(row) for row in rows if caller.may_see(row["owner"])]
