"""Rows of deleted sessions: they go once nothing lives in the session any more."""

from functools import partial

from musterd.core import clock
from musterd.engine.slices import Slices
from musterd.store import session_deletion
from musterd.store.database import Database


class SessionDeletions:
    """Removes the rows of deleted sessions, a slice at a time.

    :param slices: of all long work of this process.
    """

    def __init__(self, database: Database, slices: Slices) -> None:
        self._database = database
        self._slices = slices

    async def once(self) -> None:
        """Remove the rows of every deleted session in which nothing lives."""
        now = clock.now()
        if await self._database.scan(
            lambda tx: session_deletion.is_any_removable(tx, now)
        ):  # most times there is nothing to write
            await self._slices.until_done(partial(session_deletion.remove_some, now=now))

    async def remove(self, session_id: str) -> None:
        """Remove the rows of one deleted session, unless a run of it lives.

        :raises StoreUnavailable: the database cannot be used now; :meth:`once` removes the rest.
        """
        while await self._slices.one(partial(session_deletion.remove_some_of, session_id=session_id)):
            pass
