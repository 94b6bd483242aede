"""Sessions: list, look, delete."""

from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.records import RunView, SessionRow
from musterd.engine.embedded import EmbeddedEngine
from musterd.engine.resources import Resources
from musterd.service.runs import RunService
from musterd.service.session_reading import SessionReading
from musterd.store import sessions
from musterd.store.database import Tx
from musterd.store.sessions import SessionFilter


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session and its runs."""

    session: SessionRow
    runs: list[RunView]


class SessionService:
    """The use cases of sessions."""

    def __init__(self, resources: Resources, engine: EmbeddedEngine, runs: RunService) -> None:
        self._resources = resources
        self._engine = engine
        self._runs = runs

    async def search(self, wanted: SessionFilter, caller: Caller) -> tuple[list[SessionRow], int]:
        """One page of sessions, and how many there are in all."""
        page, count = await self._resources.database.scan(lambda tx: sessions.search(tx, wanted, caller))
        return list(page), count

    async def view(self, session_id: str, caller: Caller) -> SessionView | None:
        """A session with its runs; None when there is none that this caller may see."""

        async def work(tx: Tx) -> SessionView | None:
            session = await sessions.get(tx, session_id, caller)
            return None if session is None else SessionView(session, await sessions.runs(tx, session_id))

        return await self._resources.database.scan(work)

    def reading(self, session_id: str, caller: Caller) -> SessionReading:
        """Follow a session; what it begins with is said to the reading."""
        return SessionReading(self._resources, self._runs.following, session_id, caller)

    async def runs(self, session_id: str, caller: Caller) -> list[RunView]:
        """The session's runs, members' and live ones too, in order of their start.

        :raises NotFound: there is no such session that this caller may see.
        """
        found = await self.view(session_id, caller)
        if found is None:
            raise NotFound(f"Session with ID {session_id} not found")
        return found.runs

    async def run(self, session_id: str, run_id: str, caller: Caller) -> RunView:
        """One run of the session.

        :raises NotFound: there is no such session or run that this caller may see.
        """

        async def work(tx: Tx) -> RunView | None:
            if await sessions.get(tx, session_id, caller) is None:
                raise NotFound(f"Session with ID {session_id} not found")
            return await sessions.run(tx, session_id, run_id)

        found = await self._resources.database.read(work)
        if found is None:
            raise NotFound(f"Run with ID {run_id} not found in session {session_id}")
        return found

    async def delete(self, session_id: str, caller: Caller) -> None:
        """Delete a session: it is gone at once, what runs in it is cancelled, its rows go when all has ended.

        :raises NotFound: it belongs to another user. A session that does not exist is deleted already.
        """
        now = clock.now()

        async def bury(tx: Tx) -> bool:
            is_there = await sessions.get(tx, session_id, caller) is not None
            if is_there:
                await sessions.bury(tx, session_id, now)
            return is_there

        if await self._resources.database.write(bury):
            self._resources.hub.session_changed(session_id)
            await self._runs.cancel_of_deleted(session_id)
            self._engine.session_deleted(session_id)
