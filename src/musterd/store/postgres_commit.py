"""What became of a transaction whose connection was lost while it was committed.

The server is asked by the transaction's number. A server that crashed forgets the numbers that it had given out and not
written down yet, and gives them out again: such a number's state is another transaction's. A number was written down
when the checkpoint that ends the recovery knows of it; what is above that was lost (`access/transam/xlog.c`).
"""

from datetime import datetime

from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow

COMMITTED, IN_PROGRESS, LOST = "committed", "in progress", "lost"
OUTCOME = b"""SELECT pg_xact_status(%(xid)s::xid8) AS outcome, control.next_xid,
                     greatest(pg_postmaster_start_time(), control.checkpoint_time) > %(begun_at)s AS has_begun_anew
              FROM pg_control_checkpoint() control"""
OUTCOME_ALONE = b"SELECT pg_xact_status(%(xid)s::xid8) AS outcome"
"""For roles that may not read the server's control file."""


async def outcome_of(connection: AsyncConnection[DictRow], xid: str, begun_at: datetime) -> str | None:
    """What became of transaction ``xid``; None: the server has forgotten.

    :param begun_at: when it had its number, by the server's clock.
    :raises psycopg.Error: the server knows of no such transaction.
    """
    try:
        row = await (await connection.execute(OUTCOME, {"xid": xid, "begun_at": begun_at})).fetchone()
    except errors.InsufficientPrivilege:
        row = await (await connection.execute(OUTCOME_ALONE, {"xid": xid})).fetchone()
    if row is None:
        return None
    if row.get("has_begun_anew") and int(xid) >= _whole(row["next_xid"]):
        return LOST
    outcome: str | None = row["outcome"]
    return outcome


def _whole(next_xid: str) -> int:
    """A number with its epoch, as ``pg_control_checkpoint`` writes it: ``0:731``."""
    epoch, _, number = next_xid.partition(":")
    return (int(epoch) << 32) + int(number)
