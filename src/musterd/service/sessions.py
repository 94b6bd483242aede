"""Sessions: create, list, read, change, fork and delete."""

import asyncio
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, RunView, SessionRow
from musterd.core.run_summaries import SessionOverview
from musterd.declare import BaseComponent
from musterd.engine.resources import Resources
from musterd.engine.worker import Worker
from musterd.service.runs import RunService
from musterd.service.session_forks import fork_session
from musterd.service.session_subscription import SessionSubscription
from musterd.service.steering import request_of
from musterd.store import session_overviews, session_search, sessions, step_contents
from musterd.store.database import Tx
from musterd.store.session_forks import ForkTarget
from musterd.store.session_search import SessionFilter
from musterd.store.sessions import SessionChanges


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session and its runs."""

    session: SessionRow
    runs: list[RunView]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to create before its first run.

    :param session_id: None for a new id.
    :param component_id: "" if the first run is to set the component.
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

    def __init__(self, resources: Resources, worker: Worker, runs: RunService) -> None:
        self._resources = resources
        self._worker = worker
        self._runs = runs

    async def search(self, session_filter: SessionFilter, caller: Caller) -> tuple[list[SessionOverview], int]:
        """One page of sessions, and the total number of matches."""

        async def work(tx: Tx) -> tuple[list[SessionOverview], int]:
            page, count = await session_search.search(tx, session_filter, caller)
            return await session_overviews.overviews(tx, page), count

        return await self._resources.database.scan(work)

    async def view(self, session_id: str, caller: Caller, *, user_id: str | None = None) -> SessionView | None:
        """A session with its runs. None if there is no such session that this caller may see.

        :param user_id: if given, the session must have this label.
        """

        async def work(tx: Tx) -> SessionView | None:
            session = await sessions.get(tx, session_id, caller)
            if session is None or (user_id and session.user_id != user_id):
                return None
            return SessionView(session, await sessions.runs(tx, session_id))

        return await self._resources.database.scan(work)

    def subscribe(self, session_id: str, caller: Caller) -> SessionSubscription:
        """Subscribe to a session. The caller then calls ``begin`` with its cursor."""
        return SessionSubscription(self._resources, self._runs.following, session_id, caller)

    async def create(self, new_session: NewSession, caller: Caller) -> SessionRow:
        """Create a session before its first run.

        :raises Conflict: a session with this id exists.
        """
        now = clock.now()
        session = SessionRow(
            session_id=new_session.session_id or clock.new_id(),
            owner=caller.user_id,
            user_id=caller.user_id or new_session.user_id,
            component_kind=new_session.component_kind,
            component_id=new_session.component_id,
            name=new_session.name,
            first_message="",
            state=new_session.state or {},
            metadata=new_session.metadata,
            next_seq=0,
            created_at=now,
            updated_at=now,
        )
        await self._resources.database.write(lambda tx: sessions.add(tx, session))
        return session

    async def change(
        self, session_id: str, changes: SessionChanges, caller: Caller, *, user_id: str | None = None
    ) -> None:
        """Change the given fields. A run that is running does not undo the change when it finishes.

        :param user_id: if given, the session must have this label.
        :raises NotFound: there is no such session that this caller may see.
        """
        now = clock.now()

        async def work(tx: Tx) -> None:
            session = await sessions.change(tx, session_id, changes, caller, now)
            # Raised inside the transaction, so that a change to another user's session is rolled back.
            if session is None or (user_id and session.user_id != user_id):
                raise NotFound(f"Session with id '{session_id}' not found")

        await self._resources.database.write(work)

    async def fork(
        self,
        component: BaseComponent,
        session_id: str,
        caller: Caller,
        *,
        user_id: str | None = None,
        key: str | None = None,
    ) -> tuple[str, bool]:
        """Create a session for the caller with copies of the finished runs of another session of this component.

        :param user_id: the user label of the new session. None copies the old session's label.
        :param key: the request's idempotency key.
        :return: the new session's id, and whether the same request was received under this key before.
        :raises NotFound: there is no such session that this caller may see.
        :raises BadRequest: no run of it has finished.
        :raises Conflict: the key was used for another request, runs of the session were deleted meanwhile, or it took
            too long.
        """
        target = ForkTarget(
            session_id=clock.new_id(), component_kind=component.kind, component_id=component.id, user_id=user_id
        )
        request = request_of("fork", key, caller, component.kind, component.id, session_id, user_id or "")
        return await fork_session(self._resources.database, session_id, target, caller, request)

    async def run(self, session_id: str, run_id: str, caller: Caller, *, user_id: str | None = None) -> RunView:
        """One run of the session.

        :param user_id: if given, the session must have this label.
        :raises NotFound: there is no such session or run that this caller may see.
        """

        async def work(tx: Tx) -> RunView | None:
            session = await sessions.get(tx, session_id, caller)
            if session is None or (user_id and session.user_id != user_id):
                raise NotFound(f"Session with ID {session_id} not found")
            view = await sessions.run(tx, session_id, run_id)
            await step_contents.fill_in(tx, [] if view is None else [view])
            return view

        view = await self._resources.database.fetch(work)  # its texts may be long
        if view is None:
            raise NotFound(f"Run with ID {run_id} not found in session {session_id}")
        return view

    async def delete(self, session_id: str, caller: Caller, *, user_id: str | None = None) -> None:
        """Delete a session if this caller may see it. Its runs are cancelled, and its rows go after they have finished.

        :param user_id: if given, the session is deleted only if it has this label.
        """
        now = clock.now()

        async def bury(tx: Tx) -> bool:
            # Locked, so that an acceptance in this session is either committed, and its run is cancelled below, or
            # finds the mark and is rejected.
            session = await sessions.lock(tx, session_id)
            if session is None or session.deleted_at is not None or not caller.may_see(session.owner):
                return False
            if user_id and session.user_id != user_id:
                return False
            await sessions.mark_deleted(tx, session_id, now)
            return True

        # The mark is committed first. If this process dies in one of the next steps, upkeep cancels the runs and
        # removes the rows.
        if await self._resources.database.write(bury):
            self._resources.broadcaster.session_changed(session_id)
            await self._runs.cancel_runs_of_deleted_session(session_id)
            removing = self._worker.session_deleted(session_id)
            # Wait for the rows to go, so that the client can use the id again after this request.
            # The removal goes on if the time is over: asyncio.wait does not cancel it.
            await asyncio.wait([removing], timeout=self._resources.settings.cancel_wait_seconds)
