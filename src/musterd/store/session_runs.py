"""The root runs of a session, as one who follows it finds them."""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.records import RunRow
from musterd.store import sessions
from musterd.store.database import Row, Statement, Tx
from musterd.store.rows import RUN_COLUMNS, run_row

LIVE = Statement(
    "session_runs_live",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE session_id = :session_id AND parent_id IS NULL
        AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq""",
)
BEHIND = Statement(
    "session_runs_behind",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE session_id = :session_id AND seq > :seq AND parent_id IS NULL
        ORDER BY seq LIMIT :limit""",
)
NAMED = Statement(
    "session_runs_named",
    f"""SELECT {RUN_COLUMNS} FROM runs WHERE IN_LIST(run_id, :run_ids) AND session_id = :session_id
        AND parent_id IS NULL ORDER BY seq""",
)


async def live(tx: Tx, session_id: str, caller: Caller) -> tuple[list[RunRow], int] | None:
    """The runs that have not ended, in order, and the place of the last run there is. None: no such session."""
    session = await sessions.get(tx, session_id, caller)
    if session is None:
        return None
    return _visible(await tx.all(LIVE, {"session_id": session_id}), caller), session.next_seq - 1


async def behind(tx: Tx, session_id: str, caller: Caller, seq: int, limit: int) -> list[RunRow] | None:
    """Up to ``limit`` runs behind a place in the session, in order. None: no such session.

    A place that no run has had yet is one in a session of this id that was deleted: this one is news from its start.
    """
    session = await sessions.get(tx, session_id, caller)
    if session is None:
        return None
    seq = seq if seq < session.next_seq else -1
    return _visible(await tx.all(BEHIND, {"session_id": session_id, "seq": seq, "limit": limit}), caller)


async def named(tx: Tx, session_id: str, caller: Caller, run_ids: Sequence[str]) -> list[RunRow]:
    """Those of these runs that are of this session, in order."""
    params = {"session_id": session_id, "run_ids": jsontext.dumps(list(run_ids))}
    return _visible(await tx.all(NAMED, params), caller)


def _visible(rows: Sequence[Row], caller: Caller) -> list[RunRow]:
    return [run_row(row) for row in rows if caller.may_see(row["owner"])]
