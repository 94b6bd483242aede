"""Sessions: creating, changing, locking and deleting them. A session orders its runs and keeps their shared state."""

from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunView, SessionRow
from musterd.store.database import Params, Statement, Tx
from musterd.store.rows import qualified, run_view, session_row
from musterd.store.shards import SessionTx

# One upsert creates or enters the session, allocates the seq and locks the row until the commit. Two first runs of a
# new session meet at the primary key: the second waits for the first, and then updates its row.
JOIN = Statement(
    "session_join",
    """INSERT INTO sessions (session_id, shard, owner, user_id, component_kind, component_id, first_message, state,
                             next_seq, created_at, updated_at)
       VALUES (:session_id, :shard, :owner, :user_id, :component_kind, :component_id, :first_message, '{}', 1, :now,
               :now)
       ON CONFLICT (session_id, shard) DO UPDATE SET next_seq = sessions.next_seq + 1,
           updated_at = CASE WHEN sessions.updated_at > :now THEN sessions.updated_at ELSE :now END
       RETURNING *""",
)
BEGIN = Statement(  # for a session that was created before its first run
    "session_begin",
    """UPDATE sessions SET first_message = :first_message, user_id = COALESCE(user_id, :user_id),
           component_kind = CASE component_id WHEN '' THEN :component_kind ELSE component_kind END,
           component_id = CASE component_id WHEN '' THEN :component_id ELSE component_id END
       WHERE session_id = :session_id AND shard = :shard RETURNING *""",
)
ADD = Statement(
    "session_add",
    """INSERT INTO sessions (session_id, shard, owner, user_id, component_kind, component_id, name, first_message,
                             state, metadata, summary, next_seq, created_at, updated_at, forked_from, deleted_at)
       VALUES (:session_id, :shard, :owner, :user_id, :component_kind, :component_id, :name, :first_message, :state,
               :metadata, :summary, :next_seq, :created_at, :updated_at, :forked_from, :deleted_at)
       ON CONFLICT (session_id, shard) DO NOTHING""",
)
CHANGE = Statement(
    "session_change",
    """UPDATE sessions SET name = :name, state = :state, metadata = :metadata, summary = :summary,
           updated_at = CASE WHEN updated_at > :now THEN updated_at ELSE :now END
       WHERE session_id = :session_id AND shard = :shard""",
)
GET = Statement("session_get", "SELECT * FROM sessions WHERE session_id = :session_id AND shard = :shard")
LOCK = Statement("session_lock", "SELECT * FROM sessions WHERE session_id = :session_id AND shard = :shard LOCK_ROW")
TAKE_SEQ = Statement(
    "session_take_seq",
    """UPDATE sessions SET next_seq = next_seq + 1 WHERE session_id = :session_id AND shard = :shard
       RETURNING next_seq""",
)
SET_STATE = Statement(
    "session_set_state",
    "UPDATE sessions SET state = :state, updated_at = :now WHERE session_id = :session_id AND shard = :shard",
)
SET_FIRST_MESSAGE = Statement(
    "session_set_first_message",
    "UPDATE sessions SET first_message = :text WHERE session_id = :session_id AND shard = :shard",
)
TOUCH = Statement(
    "session_touch", "UPDATE sessions SET updated_at = :now WHERE session_id = :session_id AND shard = :shard"
)
MARK_DELETED = Statement(
    "session_bury",
    """UPDATE sessions SET deleted_at = :now
       WHERE session_id = :session_id AND shard = :shard AND deleted_at IS NULL""",
)
DELETED = "(SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL)"
"""Deleted sessions whose rows are still to be removed; there are few of them. Lists leave them out."""
LIVE_RUNS = Statement(
    "session_live_runs",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND shard = :shard AND parent_id IS NULL
       AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq DESC""",
)
LIST_DELETED = Statement(  # a fork that is being made is deleted in the future (session_forks.py)
    "sessions_buried", "SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL AND deleted_at <= :now"
)
RUNS = Statement(
    "session_runs",
    f"""SELECT {qualified("r")}, io.input, io.output, io.messages
        FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
        WHERE r.session_id = :session_id AND r.shard = :shard ORDER BY r.created_at, r.seq""",
)
RUN = Statement(
    "session_run",
    f"""SELECT {qualified("r")}, io.input, io.output, io.messages
        FROM runs r JOIN run_io io ON io.run_id = r.run_id AND io.shard = r.shard
        WHERE r.run_id = :run_id AND r.shard = :shard""",
)


async def join(tx: SessionTx, new: Params, caller: Caller) -> SessionRow:
    """Add a run to the session that ``new`` names, creating it if needed; its ``next_seq`` is the run's seq + 1.

    The session is locked until the transaction ends. Its ``updated_at`` is the time of the acceptance: the time in
    ``new``, or the last end in the session if that is later, because the upsert may have waited for it.

    :raises NotFound: the session belongs to another user.
    :raises Conflict: the session is being deleted.
    """
    row = await tx.one(JOIN, new)
    if row is None:
        raise RuntimeError("an upsert returned no row")
    session = session_row(row)
    _require_own(session, caller)
    if session.deleted_at is not None:
        raise Conflict(f"Session {session.session_id} is being deleted; use another session_id.")
    if session.first_message or (row := await tx.one(BEGIN, new)) is None:
        return session
    return session_row(row)


def _require_own(session: SessionRow, caller: Caller) -> None:
    if not caller.may_see(session.owner):
        raise NotFound(f"Session with ID {session.session_id} not found")


async def get(tx: Tx, session_id: str, caller: Caller) -> SessionRow | None:
    """The session, or None if there is none that this caller may see."""
    row = await SessionTx(tx, session_id).one(GET, {"session_id": session_id})
    if row is None:
        return None
    session = session_row(row)
    if session.deleted_at is not None or not caller.may_see(session.owner):
        return None
    return session


async def add(tx: Tx, session: SessionRow) -> None:
    """Store a session before its first run.

    :raises Conflict: a session with this id exists or is still being deleted.
    """
    texts = {name: _json(getattr(session, name)) for name in ("state", "metadata", "summary")}
    values = {name: getattr(session, name) for name in SessionRow.__slots__}
    if not await SessionTx(tx, session.session_id).run(ADD, {**values, **texts}):
        raise Conflict("This session_id is taken; choose another one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanges:
    """Changes to a session by a person; None: the field stays as it is."""

    name: str | None = None
    state: JsonObject | None = None
    metadata: JsonObject | None = None
    summary: JsonObject | None = None


async def change(tx: Tx, session_id: str, changes: SessionChanges, caller: Caller, now: float) -> SessionRow | None:
    """Change a session, and return it as it was before; None if there is none that this caller may see.

    When a running run of the session finishes, its changes to the state are merged into the new state key by key.
    """
    tx = SessionTx(tx, session_id)
    # Locked, because CHANGE writes whole columns: a run that finishes in between would have its changes overwritten.
    session = await lock(tx, session_id)
    if session is None or session.deleted_at is not None or not caller.may_see(session.owner):
        return None
    new = {
        name: getattr(session, name) if getattr(changes, name) is None else getattr(changes, name)
        for name in SessionChanges.__slots__
    }
    texts = {name: _json(new[name]) for name in ("state", "metadata", "summary")}
    await tx.run(CHANGE, {"session_id": session_id, "name": new["name"], "now": now, **texts})
    return session


def _json(value: JsonObject | None) -> str | None:
    return None if value is None else jsontext.dumps(value)


async def lock(tx: Tx, session_id: str) -> SessionRow | None:
    """Lock the session until the transaction ends. Every transaction that changes its queue does this first.

    Without the lock a run could be queued after the end of the head has looked for the next run, and before that end is
    committed: no one would ever promote it. The lock order is session, root run, other rows, in all transactions, so
    that they cannot deadlock.
    """
    row = await SessionTx(tx, session_id).one(LOCK, {"session_id": session_id})
    return None if row is None else session_row(row)


async def take_seq(tx: SessionTx, session_id: str) -> int:
    """The next seq of the session, for a run that is not being accepted. The caller has locked the session."""
    row = await tx.one(TAKE_SEQ, {"session_id": session_id})
    if row is None:
        raise RuntimeError(f"session {session_id} went away while it was held")
    return int(row["next_seq"]) - 1


async def merge_state(tx: SessionTx, session: SessionRow, delta: dict[str, Any], now: float) -> None:
    """Merge the keys that a run set or removed into the state of a locked session."""
    state = {**session.state, **delta.get("set", {})}
    for key in delta.get("removed", ()):
        state.pop(key, None)
    if state != session.state:
        await tx.run(SET_STATE, {"session_id": session.session_id, "state": jsontext.dumps(state), "now": now})
    else:
        await tx.run(TOUCH, {"session_id": session.session_id, "now": now})


async def merge_changes_of_paused(tx: SessionTx, output: Output, now: float) -> None:
    """Merge what a run had changed in its session's state when it paused: it ends without a further attempt.

    :param output: the output of the pause.
    """
    if output.state_changes is not None and (session := await lock(tx, tx.session_id)) is not None:
        await merge_state(tx, session, output.state_changes, now)
        output.state_changes = None


async def runs(tx: Tx, session_id: str) -> list[RunView]:
    """All runs of the session, including members' runs, in order of creation."""
    rows = await SessionTx(tx, session_id).all(RUNS, {"session_id": session_id})
    return [await run_view(tx, row) for row in rows]


async def run(tx: Tx, session_id: str, run_id: str) -> RunView | None:
    """One run of the session, which may be a member's run; None: the session has no such run."""
    row = await SessionTx(tx, session_id).one(RUN, {"run_id": run_id})
    return None if row is None or row["session_id"] != session_id else await run_view(tx, row)


async def mark_deleted(tx: Tx, session_id: str, now: float) -> None:
    """Mark the session as deleted; no caller sees it. :mod:`musterd.store.session_deletion` removes its rows."""
    await SessionTx(tx, session_id).run(MARK_DELETED, {"session_id": session_id, "now": now})


async def live_runs(tx: Tx, session_id: str) -> list[str]:
    """The session's unfinished root runs, last first."""
    rows = await SessionTx(tx, session_id).all(LIVE_RUNS, {"session_id": session_id})
    return [row["run_id"] for row in rows]


async def list_deleted(tx: Tx, now: float) -> list[str]:
    """Deleted sessions that still have rows."""
    return [row["session_id"] for row in await tx.all(LIST_DELETED, {"now": now})]
