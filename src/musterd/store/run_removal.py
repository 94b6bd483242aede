"""Removing runs, for retention and for deleted sessions.

One transaction removes several root runs of any sessions, with all rows that belong to them. Like every transaction it
locks their sessions first, and it skips sessions that another transaction has locked.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.store import blobs
from musterd.store.database import Row, Statement, Tx

RUN_TABLES = (
    ("run_events", "root_id"),
    ("journal", "root_id"),
    ("run_attempts", "root_id"),
    ("requests", "run_id"),
    ("approvals", "root_id"),
    ("run_messages", "root_id"),
    ("deliveries", "run_id"),
    ("run_io", "run_id"),
)
"""The tables with rows that belong to runs, each with the column that names the run. Uses of blobs are removed by
:mod:`musterd.store.blobs`."""

HOLD = Statement(
    "removal_hold",
    """SELECT session_id FROM sessions WHERE IN_LIST(session_id, :sessions)
       ORDER BY session_id SKIP_LOCKED_ROWS""",
)
TREES = Statement("removal_trees", "SELECT run_id FROM runs WHERE IN_LIST(root_id, :roots)")
OF_ROOTS = (
    *(
        Statement(
            f"removal_{table}",
            f"DELETE FROM {table} WHERE IN_LIST({column}, {':roots' if column == 'root_id' else ':runs'})",
        )
        for table, column in RUN_TABLES
    ),
    Statement("removal_runs", "DELETE FROM runs WHERE IN_LIST(root_id, :roots)"),
)
AT_ONCE = 50
"""How many root runs one transaction removes. On SQLite all other writers wait for it, about 5 ms with the commit."""
EVENTS_AT_ONCE = 2000
"""How many events the runs of one transaction may have in total, if it removes more than one run."""


InRemoval = Callable[[Tx, Sequence[str], float], Awaitable[None]]
"""Called with the ids of root runs and the time, in the transaction that removes them, while their rows are there.

It must be the same transaction. If figures of the runs were added to a sum before it, a reader in between or a crash
would count the runs twice: in the sum, and by their rows. After it their rows would be gone.
"""


@dataclass(frozen=True, slots=True)
class Removable:
    """A root run that can be removed.

    :param events: an upper bound of the number of its events.
    """

    run_id: str
    session_id: str
    created_at: float
    events: int


COLUMNS = "run_id, session_id, created_at, next_event"
"""The columns that a statement reads of root runs to remove."""


def removable(row: Row) -> Removable:
    """The record of a row with :data:`COLUMNS`."""
    return Removable(row["run_id"], row["session_id"], row["created_at"], int(row["next_event"]))


def slices(runs: Iterable[Removable]) -> Iterator[list[Removable]]:
    """The runs in batches, each of a size that one transaction may remove."""
    batch: list[Removable] = []
    events = 0
    for run in runs:
        if batch and (len(batch) >= AT_ONCE or events + run.events > EVENTS_AT_ONCE):
            yield batch
            batch, events = [], 0
        batch.append(run)
        events += run.events
    if batch:
        yield batch


async def lock_unlocked_sessions(tx: Tx, sessions: Sequence[str]) -> set[str]:
    """Lock those of the sessions that no other transaction has locked; return their ids.

    A removal never waits for a session that is in use: it is not urgent, and the next call comes back to it.
    """
    rows = await tx.all(HOLD, {"sessions": jsontext.dumps(sorted(set(sessions)))})
    return {row["session_id"] for row in rows}


async def remove(tx: Tx, roots: Sequence[str], now: float, hooks: Sequence[InRemoval]) -> None:
    """Remove root runs, whose sessions the caller has locked, with all their rows.

    :param hooks: called first.
    """
    if not roots:
        return
    for hook in hooks:
        await hook(tx, roots, now)
    await blobs.forget(tx, roots)
    # The members' ids are read before their rows are removed: some tables name the run and not its root.
    by_root = {"roots": jsontext.dumps(list(roots))}
    runs = jsontext.dumps([row["run_id"] for row in await tx.all(TREES, by_root)])
    for statement in OF_ROOTS:
        await tx.run(statement, by_root if ":roots" in statement.text else {"runs": runs})
