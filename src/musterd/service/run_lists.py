"""Lists of runs: of a session, of what lives in it, of everybody."""

from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.records import RunView
from musterd.engine.resources import Resources
from musterd.store import run_lists, sessions
from musterd.store.database import Tx
from musterd.store.run_lists import RunsQuery, SessionRunsQuery


class RunLists:
    """The use cases of looking at many runs; all but the whole list of a session end with a page."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def of_component(self, wanted: SessionRunsQuery, caller: Caller) -> list[RunView]:
        """Runs of a component in a session, members' too; none where there is no such session to see."""

        async def work(tx: Tx) -> list[RunView]:
            if await sessions.get(tx, wanted.session_id, caller) is None:
                return []
            return await run_lists.of_session(tx, wanted)

        return await self._database.scan(work)

    async def of_session(
        self, wanted: SessionRunsQuery, caller: Caller, *, user_id: str | None = None
    ) -> list[RunView]:
        """Runs of a session, members' and live ones too, in the order of its line.

        :param user_id: the label that the session must have, where one is asked for.
        :raises NotFound: there is no such session that this caller may see.
        """

        async def work(tx: Tx) -> list[RunView]:
            await _require_session(tx, wanted.session_id, caller, user_id)
            return await run_lists.of_session(tx, wanted)

        return await self._database.scan(work)

    async def live(
        self, session_id: str, caller: Caller, *, user_id: str | None = None
    ) -> list[tuple[RunView, float | None]]:
        """The runs of a session that have not ended, and when the pause of each is over.

        :raises NotFound: there is no such session that this caller may see.
        """

        async def work(tx: Tx) -> list[tuple[RunView, float | None]]:
            await _require_session(tx, session_id, caller, user_id)
            return await run_lists.live(tx, session_id)

        return await self._database.scan(work)

    async def page(self, wanted: RunsQuery, caller: Caller) -> list[RunView]:
        """One page of root runs over all sessions that this caller may see, newest first."""
        return await self._database.scan(lambda tx: run_lists.page(tx, wanted, caller))


async def _require_session(tx: Tx, session_id: str, caller: Caller, user_id: str | None) -> None:
    session = await sessions.get(tx, session_id, caller)
    if session is None or (user_id and session.user_id != user_id):
        raise NotFound(f"Session with ID {session_id} not found")
