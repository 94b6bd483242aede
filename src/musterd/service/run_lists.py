"""Lists of runs: of one session, of one component in a session, and of all sessions."""

from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.records import RunView
from musterd.core.run_summaries import SummarizedRun
from musterd.engine.resources import Resources
from musterd.store import run_lists, sessions, step_contents
from musterd.store.database import Tx
from musterd.store.run_lists import Position, RunCounts, RunsQuery, SessionRunsQuery


class RunLists:
    """The use cases of listing runs."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def of_component(self, query: SessionRunsQuery, caller: Caller) -> list[RunView]:
        """Runs of a component in a session, including members' runs. Empty if the caller may not see the session."""

        async def work(tx: Tx) -> list[RunView]:
            if await sessions.get(tx, query.session_id, caller) is None:
                return []
            return await _with_contents(tx, await run_lists.of_session(tx, query))

        return await self._database.scan(work)

    async def of_session(self, query: SessionRunsQuery, caller: Caller, *, user_id: str | None = None) -> list[RunView]:
        """Runs of a session in the order of its queue, including members' runs and unfinished runs.

        :param user_id: if given, the session must have this label.
        :raises NotFound: there is no such session that this caller may see.
        """

        async def work(tx: Tx) -> list[RunView]:
            await _require_session(tx, query.session_id, caller, user_id)
            views = await run_lists.of_session(tx, query)
            return await _with_contents(tx, views) if query.has_messages else views

        return await self._database.scan(work)

    async def live(
        self, session_id: str, caller: Caller, *, user_id: str | None = None
    ) -> list[tuple[RunView, float | None]]:
        """The unfinished runs of a session, each with the time when its pause expires.

        :raises NotFound: there is no such session that this caller may see.
        """

        async def work(tx: Tx) -> list[tuple[RunView, float | None]]:
            await _require_session(tx, session_id, caller, user_id)
            live = await run_lists.live(tx, session_id)
            await _with_contents(tx, [view for view, _ in live])
            return live

        return await self._database.scan(work)

    async def page(self, query: RunsQuery, caller: Caller) -> tuple[list[RunView], Position | None]:
        """One page of the root runs of all sessions that this caller may see, newest first.

        :return: the runs, and where the page of a search ends if older runs were not searched.
        """

        async def work(tx: Tx) -> tuple[list[RunView], Position | None]:
            views = await _with_contents(tx, await run_lists.page(tx, query, caller))
            return views, await run_lists.search_end(tx, query, caller)

        return await self._database.scan(work)

    async def summaries(self, query: RunsQuery, caller: Caller) -> tuple[list[SummarizedRun], Position | None]:
        """The same as :meth:`page`, in a few words."""

        async def work(tx: Tx) -> tuple[list[SummarizedRun], Position | None]:
            return await run_lists.page_of_summaries(tx, query, caller), await run_lists.search_end(tx, query, caller)

        return await self._database.scan(work)

    async def counts(self, query: RunsQuery, caller: Caller) -> RunCounts:
        """How many root runs this caller may see, by state, whatever states the query names."""
        return await self._database.scan(lambda tx: run_lists.counts(tx, query, caller))


async def _with_contents(tx: Tx, views: list[RunView]) -> list[RunView]:
    await step_contents.fill_in(tx, views)
    return views


async def _require_session(tx: Tx, session_id: str, caller: Caller, user_id: str | None) -> None:
    session = await sessions.get(tx, session_id, caller)
    if session is None or (user_id and session.user_id != user_id):
        raise NotFound(f"Session with ID {session_id} not found")
