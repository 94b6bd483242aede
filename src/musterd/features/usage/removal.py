"""Keeps the usage of runs that are removed, so that the figures of a day never shrink."""

from collections.abc import Iterator, Sequence
from functools import partial

from musterd.engine.run_removal_hook import RunRemovalHook
from musterd.engine.slices import Slices
from musterd.features.usage import store
from musterd.store.database import Database, Tx, Work
from musterd.store.run_removal import Removable

OWNERS_AT_ONCE = 100
"""For how many owners one transaction stores the figures of a day."""


async def close_days(database: Database, slices: Slices, runs: Sequence[Removable], now: float) -> None:
    """Close the days of these runs that can be closed.

    Removing a run of a closed day changes nothing. Otherwise each removal has to count the runs that it removes.
    """
    for day in sorted({store.day_of(run.created_at) for run in runs}):
        figures = await database.scan(partial(store.closable, day=day, now=now))
        if figures is not None:
            # The figures of everybody come last: once they are stored, the day counts as closed.
            owners = sorted(figures, key=lambda owner: (owner == store.EVERYBODY, owner))
            await slices.each(_batches(owners), partial(_close, day, figures, now))


def _batches(owners: Sequence[str]) -> Iterator[Sequence[str]]:
    return (owners[first : first + OWNERS_AT_ONCE] for first in range(0, len(owners), OWNERS_AT_ONCE))


def _close(day: str, figures: store.ByOwner, now: float, owners: Sequence[str]) -> Work[int]:
    """The transaction that stores the figures of a day for some owners."""

    async def close(tx: Tx) -> int:
        late_imports = figures[store.EVERYBODY].late_imports
        await store.close(tx, day, {owner: figures[owner] for owner in owners}, now, late_imports=late_imports)
        return len(owners)

    return close


REMOVAL_HOOK = RunRemovalHook(prepare=close_days, in_transaction=store.keep_removed)
