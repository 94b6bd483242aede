"""Removal of runs, both of old runs and of the runs of deleted sessions.

A transaction removes some root runs at once, of any sessions, with everything that hangs on them. It holds their
sessions first, as everywhere, and leaves out sessions that another transaction holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from musterd.core import jsontext
from musterd.store import blobs, usage
from musterd.store.database import Row, Statement, Tx

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

HOLD = Statement(
    "removal_hold",
    """SELECT session_id FROM sessions WHERE IN_LIST(session_id, :sessions)
       ORDER BY session_id LOCK_FREE_ROWS""",
)
TREES = Statement("removal_trees", "SELECT run_id FROM runs WHERE IN_LIST(root_id, :roots)")
OF_ROOTS = (
    *(
        Statement(
            f"removal_{table}",
            f"DELETE FROM {table} WHERE IN_LIST({column}, {':roots' if column == 'root_id' else ':runs'})",
        )
        for table, column in HANGING
    ),
    Statement("removal_runs", "DELETE FROM runs WHERE IN_LIST(root_id, :roots)"),
)
AT_ONCE = 50
"""Root runs that one transaction removes: on SQLite, where all others wait for it, about 5 ms with the commit."""
EVENTS_AT_ONCE = 2000
"""Events that the runs of one transaction may have together, if it removes more than one run."""


@dataclass(frozen=True, slots=True)
class Removable:
    """A root run that can be removed.

    :param events: how many events it may have.
    """

    run_id: str
    session_id: str
    created_at: float
    events: int


COLUMNS = "run_id, session_id, created_at, next_event"
"""What a statement reads of root runs that are to be removed."""


def removable(row: Row) -> Removable:
    """The run of a row of :data:`COLUMNS`."""
    return Removable(row["run_id"], row["session_id"], row["created_at"], int(row["next_event"]))


def slices(runs: Iterable[Removable]) -> Iterator[list[Removable]]:
    """The same runs, as many together as one transaction may remove."""
    some: list[Removable] = []
    events = 0
    for run in runs:
        if some and (len(some) >= AT_ONCE or events + run.events > EVENTS_AT_ONCE):
            yield some
            some, events = [], 0
        some.append(run)
        events += run.events
    if some:
        yield some


async def hold(tx: Tx, sessions: Sequence[str]) -> set[str]:
    """Hold those of these sessions that no other transaction holds; their ids."""
    rows = await tx.all(HOLD, {"sessions": jsontext.dumps(sorted(set(sessions)))})
    return {row["session_id"] for row in rows}


async def remove(tx: Tx, roots: Sequence[str], now: float) -> None:
    """Remove root runs whose sessions are held, with all that hangs on them; what they count is kept."""
    if not roots:
        return
    await usage.keep_removed(tx, roots, now)
    await blobs.forget(tx, roots)
    by_root = {"roots": jsontext.dumps(list(roots))}
    runs = jsontext.dumps([row["run_id"] for row in await tx.all(TREES, by_root)])
    for statement in OF_ROOTS:
        await tx.run(statement, by_root if ":roots" in statement.text else {"runs": runs})
