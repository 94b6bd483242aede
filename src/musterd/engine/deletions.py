"""Rows of deleted sessions: they go once nothing lives in the session any more."""

import asyncio
from functools import partial

from musterd.core import clock
from musterd.engine.resources import Resources
from musterd.engine.slices import Slices
from musterd.store import deletion, sessions


class Deletions:
    """Removes the rows of deleted sessions, a slice at a time.

    :param turn: as of :class:`~musterd.engine.slices.Slices`.
    """

    def __init__(self, resources: Resources, turn: asyncio.Lock) -> None:
        self._database = resources.database
        self._slices = Slices(resources.database, turn)

    async def once(self) -> None:
        """Remove the rows of every deleted session in which nothing lives."""
        now = clock.now()
        if await self._database.scan(lambda tx: deletion.over(tx, now, 1)):  # most times there is nothing to write
            await self._slices.until_done(lambda size: partial(deletion.remove_over, now=now, limit=size))

    async def remove(self, session_id: str) -> None:
        """Remove the rows of one deleted session, unless a run of it lives.

        :raises StoreUnavailable: the database cannot be used now; :meth:`once` removes the rest.
        """
        while await self._slices.one(lambda size: partial(sessions.remove_if_over, session_id=session_id, limit=size)):
            pass
