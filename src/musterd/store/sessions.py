"""Sessions: the lanes of runs, and what lasts from run to run."""

from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunView, SessionRow
from musterd.store.database import Params, Statement, Tx
from musterd.store.rows import qualified, run_view, session_row

JOIN = Statement(
    "session_join",
    """INSERT INTO sessions (session_id, owner, user_id, component_kind, component_id, first_message, state,
                             next_seq, created_at, updated_at)
       VALUES (:session_id, :owner, :user_id, :component_kind, :component_id, :first_message, '{}', 1, :now, :now)
       ON CONFLICT (session_id) DO UPDATE SET next_seq = sessions.next_seq + 1,
           updated_at = CASE WHEN sessions.updated_at > :now THEN sessions.updated_at ELSE :now END
       RETURNING *""",
)
BEGIN = Statement(  # a session that was made ahead of its first run
    "session_begin",
    """UPDATE sessions SET first_message = :first_message, user_id = COALESCE(user_id, :user_id),
           component_kind = CASE component_id WHEN '' THEN :component_kind ELSE component_kind END,
           component_id = CASE component_id WHEN '' THEN :component_id ELSE component_id END
       WHERE session_id = :session_id RETURNING *""",
)
ADD = Statement(
    "session_add",
    """INSERT INTO sessions (session_id, owner, user_id, component_kind, component_id, name, first_message, state,
                             metadata, summary, next_seq, created_at, updated_at, forked_from, deleted_at)
       VALUES (:session_id, :owner, :user_id, :component_kind, :component_id, :name, :first_message, :state,
               :metadata, :summary, :next_seq, :created_at, :updated_at, :forked_from, :deleted_at)
       ON CONFLICT (session_id) DO NOTHING""",
)
CHANGE = Statement(
    "session_change",
    """UPDATE sessions SET name = :name, state = :state, metadata = :metadata, summary = :summary,
           version = version + 1, updated_at = CASE WHEN updated_at > :now THEN updated_at ELSE :now END
       WHERE session_id = :session_id""",
)
BEGUN_AT = """COALESCE(started_at, (SELECT CASE WHEN s.updated_at > :now THEN s.updated_at ELSE :now END
                                                FROM sessions s WHERE s.session_id = runs.session_id), :now)"""
"""When a run that is claimed began: never before the last end in its session, which the claim may have waited for."""
GET = Statement("session_get", "SELECT * FROM sessions WHERE session_id = :session_id")
LOCK = Statement("session_lock", "SELECT * FROM sessions WHERE session_id = :session_id LOCK_ROW")
TAKE_SEQ = Statement(
    "session_take_seq",
    "UPDATE sessions SET next_seq = next_seq + 1 WHERE session_id = :session_id RETURNING next_seq",
)
SET_STATE = Statement(
    "session_set_state",
    "UPDATE sessions SET state = :state, version = version + 1, updated_at = :now WHERE session_id = :session_id",
)
SET_FIRST_MESSAGE = Statement(
    "session_set_first_message", "UPDATE sessions SET first_message = :text WHERE session_id = :session_id"
)
TOUCH = Statement("session_touch", "UPDATE sessions SET updated_at = :now WHERE session_id = :session_id")
BURY = Statement(
    "session_bury",
    "UPDATE sessions SET deleted_at = :now WHERE session_id = :session_id AND deleted_at IS NULL",
)
DELETED = "(SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL)"
"""Sessions whose rows are about to go, so few: what lists leave out."""
LIVE_RUNS = Statement(
    "session_live_runs",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND parent_id IS NULL
       AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq DESC""",
)
BURIED = Statement(  # one that is deleted ahead of time is being made
    "sessions_buried", "SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL AND deleted_at <= :now"
)
RUNS = Statement(
    "session_runs",
    f"""SELECT {qualified("r")}, io.input, io.output, io.messages
        FROM runs r JOIN run_io io ON io.run_id = r.run_id
        WHERE r.session_id = :session_id ORDER BY r.created_at, r.seq""",
)
RUN = Statement(
    "session_run",
    f"""SELECT {qualified("r")}, io.input, io.output, io.messages
        FROM runs r JOIN run_io io ON io.run_id = r.run_id WHERE r.run_id = :run_id""",
)


async def join(tx: Tx, new: Params, caller: Caller) -> SessionRow:
    """Enter the session that ``new`` names, making it when it is new; its ``next_seq`` is this run's seq + 1.

    Its ``updated_at`` is when: ``new``'s time, or that of its last end, which it may have waited for.

    :raises NotFound: it belongs to another user.
    :raises Conflict: it is being deleted.
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
    """The session, or None when there is none that this caller may see."""
    row = await tx.one(GET, {"session_id": session_id})
    if row is None:
        return None
    session = session_row(row)
    if session.deleted_at is not None or not caller.may_see(session.owner):
        return None
    return session


async def add(tx: Tx, session: SessionRow) -> None:
    """Store a session ahead of its first run.

    :raises Conflict: there is one of this id, or was and is still being deleted.
    """
    texts = {name: _json(getattr(session, name)) for name in ("state", "metadata", "summary")}
    values = {name: getattr(session, name) for name in SessionRow.__slots__}
    if not await tx.run(ADD, {**values, **texts}):
        raise Conflict("This session_id is taken; choose another one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanges:
    """What a person changes in a session; None: it stays as it is."""

    name: str | None = None
    state: JsonObject | None = None
    metadata: JsonObject | None = None
    summary: JsonObject | None = None


async def change(tx: Tx, session_id: str, changes: SessionChanges, caller: Caller, now: float) -> SessionRow | None:
    """Change a session, and return it as it was; None when there is none that this caller may see.

    What a run of it changes in the state until its end is merged into this, key by key.
    """
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
    """Hold the session until the transaction ends: whoever moves its line does so first, before any run's row.

    Otherwise a run could be queued behind one that is ending, after the end has looked for the next: nobody would
    come for it. The order, session before root before the rest, is the same everywhere, so that none wait in a ring.
    """
    row = await tx.one(LOCK, {"session_id": session_id})
    return None if row is None else session_row(row)


async def take_seq(tx: Tx, session_id: str) -> int:
    """The next place at the end of the session's order, for a run that is not accepted now. The session is held."""
    row = await tx.one(TAKE_SEQ, {"session_id": session_id})
    if row is None:
        raise RuntimeError(f"session {session_id} went away while it was held")
    return int(row["next_seq"]) - 1


async def merge_state(tx: Tx, session: SessionRow, delta: dict[str, Any], now: float) -> None:
    """Merge the keys that a run set (or removed: ``delta``'s ``removed``) into the state of a session that is held."""
    state = {**session.state, **delta.get("set", {})}
    for key in delta.get("removed", ()):
        state.pop(key, None)
    if state != session.state:
        await tx.run(SET_STATE, {"session_id": session.session_id, "state": jsontext.dumps(state), "now": now})
    else:
        await tx.run(TOUCH, {"session_id": session.session_id, "now": now})


async def runs(tx: Tx, session_id: str) -> list[RunView]:
    """All runs of the session, members' too, in order of creation."""
    return [run_view(row) for row in await tx.all(RUNS, {"session_id": session_id})]


async def run(tx: Tx, session_id: str, run_id: str) -> RunView | None:
    """One run of the session, a member's too; None: it is not one of it."""
    row = await tx.one(RUN, {"run_id": run_id})
    return None if row is None or row["session_id"] != session_id else run_view(row)


async def bury(tx: Tx, session_id: str, now: float) -> None:
    """Mark the session as deleted: it is gone for everybody. :mod:`musterd.store.session_deletion` does the rest."""
    await tx.run(BURY, {"session_id": session_id, "now": now})


async def live_runs(tx: Tx, session_id: str) -> list[str]:
    """The session's root runs that have not ended, last first."""
    return [row["run_id"] for row in await tx.all(LIVE_RUNS, {"session_id": session_id})]


async def buried(tx: Tx, now: float) -> list[str]:
    """Sessions that were deleted and still have rows."""
    return [row["session_id"] for row in await tx.all(BURIED, {"now": now})]
