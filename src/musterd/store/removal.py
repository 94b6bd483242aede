"""Removal: all that hangs on runs, and how it goes: where their session was deleted, or they are old enough."""

from collections.abc import Sequence

from musterd.store import blobs, daily
from musterd.store.database import Statement, Tx

HANGING = (
    ("run_events", "root_id"),
    ("journal", "root_id"),
    ("requests", "run_id"),
    ("approvals", "root_id"),
    ("run_messages", "root_id"),
    ("deliveries", "run_id"),
    ("run_io", "run_id"),
)
"""The tables with rows of runs, each with the column that says of which. What runs refer to of blobs goes by
:mod:`musterd.store.blobs`."""


_BELOW = "(SELECT run_id FROM runs WHERE root_id = :root)"
OF_ROOT = (
    *(
        Statement(f"root_remove_{table}", f"DELETE FROM {table} WHERE {column} IN {_BELOW}")
        for table, column in HANGING
    ),
    Statement("root_remove_runs", "DELETE FROM runs WHERE root_id = :root"),
)
AT_ONCE = 20
"""Root runs of one session that one transaction removes: others wait for it."""


async def remove(tx: Tx, roots: Sequence[str], now: float) -> None:
    """Remove root runs of a session that is held, with all that hangs on them; what they count is kept."""
    await daily.keep_removed(tx, roots, now)
    for root in roots:
        await blobs.forget(tx, root)
        for statement in OF_ROOT:
            await tx.run(statement, {"root": root})
