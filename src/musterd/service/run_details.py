"""What a page shows of a run in addition to the run itself: its place in its tree, and the tree's members."""

import json
from collections.abc import Sequence

from musterd.core.errors import NotFound
from musterd.core.records import Input, StepRow
from musterd.core.run_summaries import DetailedRun, SummarizedRun
from musterd.engine.resources import Resources
from musterd.store import journal, run_outputs, run_summaries
from musterd.store.database import Tx


class RunDetailsService:
    """The use case of looking at one run."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def details(self, run_id: str, session_id: str | None = None) -> DetailedRun:
        """The details of a run that the caller may see.

        :param session_id: the session that the run must be in; None: any.
        :raises NotFound: there is no such run.
        """

        async def work(tx: Tx) -> DetailedRun | None:
            runs = await run_summaries.by_ids(tx, [run_id])
            if not runs or session_id not in (None, runs[0].session_id):
                return None
            run = root = runs[0]
            if run.root_id != run.run_id:
                root = next(iter(await run_summaries.by_ids(tx, [run.root_id])), run)
            members = await run_summaries.members(tx, run.root_id, await _taken_over(tx, root))
            return DetailedRun(run=run, root=root, members=members)

        details = await self._database.scan(work)
        if details is None:
            raise NotFound("Run not found")
        return details

    async def steps(self, root_id: str, after: str, limit: int) -> Sequence[StepRow]:
        """Some steps of a run and its members with their results, in the order of their paths.

        :param after: the path of the last step of the page before; "" before the first page.
        """
        return await self._database.scan(lambda tx: journal.page(tx, root_id, after, limit))


async def _taken_over(tx: Tx, root: SummarizedRun) -> list[str]:
    """The members' runs that a fork took over from the failed run that it continues."""
    if root.forked_from is None:
        return []
    row = await tx.one(run_outputs.GET_INPUT, {"run_id": root.run_id})
    run_input = None if row is None else Input.from_json(json.loads(row["input"]))
    return [] if run_input is None else list(run_input.options.get("fork", {}).get("members", {}).values())
