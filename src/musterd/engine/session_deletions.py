"""Removes the rows of deleted sessions, once no run of the session is live."""

from collections.abc import Sequence
from functools import partial

from musterd.core import clock
from musterd.engine.slices import Slices
from musterd.store import session_deletion
from musterd.store.database import Database
from musterd.store.run_removal import InRemoval


class SessionDeletions:
    """Removes the rows of deleted sessions, a slice at a time.

    :param slices: runs the long transactions of this process, one at a time.
    :param hooks: called in each transaction that removes runs.
    """

    def __init__(self, database: Database, slices: Slices, hooks: Sequence[InRemoval]) -> None:
        self._database = database
        self._slices = slices
        self._hooks = hooks

    async def once(self) -> None:
        """Remove the rows of every deleted session without a live run."""
        now = clock.now()
        is_any_over = await self._database.scan(lambda tx: session_deletion.is_any_removable(tx, now))
        if is_any_over:  # a read first: usually there is nothing to remove, and a write transaction costs more
            await self._slices.until_done(partial(session_deletion.remove_some, now=now, hooks=self._hooks))

    async def remove(self, session_id: str) -> None:
        """Remove the rows of one deleted session, unless a run of it is live.

        :raises StoreUnavailable: the database is unavailable now; :meth:`once` removes the rest later.
        """
        remove = partial(session_deletion.remove_some_of, session_id=session_id, hooks=self._hooks)
        while await self._slices.one(remove):
            pass
