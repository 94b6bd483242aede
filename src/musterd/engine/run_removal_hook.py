"""What a feature does about runs that are removed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from musterd.engine.slices import Slices
from musterd.store.database import Database
from musterd.store.run_removal import InRemoval, Removable


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRemovalHook:
    """What a feature does about runs that are removed, by retention or with a deleted session.

    :param in_transaction: called in the transaction that removes runs. Keep it short; other writers may wait for it.
    :param prepare: called with old runs and the time before retention removes them, outside of transactions. It has
        room for long work, in slices. Not called for runs of deleted sessions, and not each of the runs is removed.
    """

    in_transaction: InRemoval
    prepare: Callable[[Database, Slices, Sequence[Removable], float], Awaitable[None]]
