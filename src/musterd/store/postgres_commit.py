"""Finding out whether a transaction was committed whose connection was lost during COMMIT.

``pg_xact_status`` gives the outcome for a transaction id. But a server that crashed forgets ids that it had assigned
and not yet written to disk, and assigns them again; then the status is that of a different transaction. The checkpoint
at the end of the crash recovery tells them apart: an id below its next id had been written, one above it was lost with
its transaction (`access/transam/xlog.c`).
"""

from datetime import datetime

from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow

COMMITTED, IN_PROGRESS, LOST = "committed", "in progress", "lost"
OUTCOME = b"""SELECT pg_xact_status(%(xid)s::xid8) AS outcome, control.next_xid,
                     greatest(pg_postmaster_start_time(), control.checkpoint_time) > %(begun_at)s AS has_begun_anew
              FROM pg_control_checkpoint() control"""
OUTCOME_ALONE = b"SELECT pg_xact_status(%(xid)s::xid8) AS outcome"
"""For roles without the right to read the control file."""


async def outcome_of(connection: AsyncConnection[DictRow], xid: str, begun_at: datetime) -> str | None:
    """The outcome of transaction ``xid``; None: the server no longer has it.

    :param begun_at: when the id was assigned, by the server's clock.
    :raises psycopg.Error: the server has not assigned such an id.
    """
    try:
        row = await (await connection.execute(OUTCOME, {"xid": xid, "begun_at": begun_at})).fetchone()
    except errors.InsufficientPrivilege:
        row = await (await connection.execute(OUTCOME_ALONE, {"xid": xid})).fetchone()
    if row is None:
        return None
    # The server restarted after this id was assigned, and its recovery did not find the id: it may since have been
    # assigned again, and the status above may be that of the other transaction.
    if row.get("has_begun_anew") and int(xid) >= _full_xid(row["next_xid"]):
        return LOST
    outcome: str | None = row["outcome"]
    return outcome


def _full_xid(next_xid: str) -> int:
    """The 64-bit id for the notation of ``pg_control_checkpoint``, epoch and number: ``0:731``."""
    epoch, _, number = next_xid.partition(":")
    return (int(epoch) << 32) + int(number)
