"""Sessions: make, list, look, change, fork, delete."""

import asyncio
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, RunView, SessionRow
from musterd.declare import Component
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.service.runs import RunService
from musterd.service.session_forks import fork_session
from musterd.service.session_subscription import SessionReading
from musterd.service.steering import request_of
from musterd.store import session_search, sessions
from musterd.store.database import Tx
from musterd.store.session_forks import ForkedSession
from musterd.store.session_search import SessionFilter
from musterd.store.sessions import SessionChanges


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session and its runs."""

    session: SessionRow
    runs: list[RunView]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """A session that is to be there before its first run.

    :param session_id: None for a new id.
    :param component_id: "" where its first run is to say whose it is.
    """

    session_id: str | None
    component_kind: ComponentKind
    component_id: str
    user_id: str | None = None
    name: str | None = None
    state: JsonObject | None = None
    metadata: JsonObject | None = None


class SessionService:
    """The use cases of sessions."""

    def __init__(self, resources: Resources, engine: Worker, runs: RunService) -> None:
        self._resources = resources
        self._engine = engine
        self._runs = runs

    async def search(self, wanted: SessionFilter, caller: Caller) -> tuple[list[SessionRow], int]:
        """One page of sessions, and how many there are in all."""
        page, count = await self._resources.database.scan(lambda tx: session_search.search(tx, wanted, caller))
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

    async def create(self, wanted: WantedSession, caller: Caller) -> SessionRow:
        """Make a session ahead of its first run.

        :raises Conflict: there is one of this id.
        """
        now = clock.now()
        session = SessionRow(
            session_id=wanted.session_id or clock.new_id(),
            owner=caller.user_id,
            user_id=caller.user_id or wanted.user_id,
            component_kind=wanted.component_kind,
            component_id=wanted.component_id,
            name=wanted.name,
            first_message="",
            state=wanted.state or {},
            metadata=wanted.metadata,
            next_seq=0,
            created_at=now,
            updated_at=now,
        )
        await self._resources.database.write(lambda tx: sessions.add(tx, session))
        return session

    async def change(
        self, session_id: str, changes: SessionChanges, caller: Caller, *, user_id: str | None = None
    ) -> None:
        """Change what is given; a run at work does not undo it when it ends.

        :param user_id: the label that the session must have, where one is asked for.
        :raises NotFound: there is no such session that this caller may see.
        """
        now = clock.now()

        async def work(tx: Tx) -> None:
            found = await sessions.change(tx, session_id, changes, caller, now)
            if found is None or (user_id and found.user_id != user_id):
                raise NotFound(f"Session with id '{session_id}' not found")

        await self._resources.database.write(work)

    async def fork(
        self,
        component: Component,
        session_id: str,
        caller: Caller,
        *,
        user_id: str | None = None,
        key: str | None = None,
    ) -> tuple[str, bool]:
        """Make a session of the caller's that begins with copies of the runs that have ended in one of a component.

        :param user_id: what the user of the new one is called; None: as in the old one.
        :param key: the request's idempotency key.
        :return: the new session's id, and whether the same request under its key was here before.
        :raises NotFound: there is no such session that this caller may see.
        :raises BadRequest: no run of it has ended.
        :raises Conflict: the key was used for another request, runs of it went meanwhile, or it took too long.
        """
        wanted = ForkedSession(
            session_id=clock.new_id(), component_kind=component.kind, component_id=component.id, user_id=user_id
        )
        asked = request_of("fork", key, caller, component.kind, component.id, session_id, user_id or "")
        return await fork_session(self._resources.database, session_id, wanted, caller, asked)

    async def run(self, session_id: str, run_id: str, caller: Caller, *, user_id: str | None = None) -> RunView:
        """One run of the session.

        :param user_id: the label that the session must have, where one is asked for.
        :raises NotFound: there is no such session or run that this caller may see.
        """

        async def work(tx: Tx) -> RunView | None:
            session = await sessions.get(tx, session_id, caller)
            if session is None or (user_id and session.user_id != user_id):
                raise NotFound(f"Session with ID {session_id} not found")
            return await sessions.run(tx, session_id, run_id)

        found = await self._resources.database.read(work)
        if found is None:
            raise NotFound(f"Run with ID {run_id} not found in session {session_id}")
        return found

    async def delete(self, session_id: str, caller: Caller, *, user_id: str | None = None) -> None:
        """Delete a session: it is gone at once, what runs in it is cancelled, its rows go when all has ended.

        One that this caller may not see is none, and one that does not exist is deleted already.

        :param user_id: the label that the session must have, where one is asked for; else it stays.
        """
        now = clock.now()

        async def bury(tx: Tx) -> bool:
            found = await sessions.lock(tx, session_id)
            if found is None or found.deleted_at is not None or not caller.may_see(found.owner):
                return False
            if user_id and found.user_id != user_id:
                return False
            await sessions.bury(tx, session_id, now)
            return True

        if await self._resources.database.write(bury):
            self._resources.broadcaster.session_changed(session_id)
            await self._runs.cancel_of_deleted(session_id)
            removing = self._engine.session_deleted(session_id)  # awaited, so that its id can be used again
            await asyncio.wait([removing], timeout=self._resources.settings.cancel_wait_seconds)
