"""What a page shows of a run in addition to the run itself: its place in its tree, and the tree's members."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunRow
from musterd.core.requirements import ApprovalRow
from musterd.core.run_summaries import DetailedRun
from musterd.engine.history import recorded_history_query
from musterd.engine.recovery import questions_of
from musterd.engine.resources import Resources
from musterd.store import attempt_input, blobs, run_attempts, run_forks, run_outputs, run_steps, run_summaries
from musterd.store.attempt_input import AttemptInput
from musterd.store.database import Tx
from musterd.store.rows import GET_RUN, run_row
from musterd.store.runs import forks_of
from musterd.store.runs import runs_behind as runs_behind_of
from musterd.store.shards import SessionTx


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySource:
    """What a run began with.

    :param questions: the last question to a person about each call.
    """

    inputs: AttemptInput
    questions: Sequence[ApprovalRow]


class RunDetailsService:
    """The use case of looking at one run."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def details(self, run_id: str, session_id: str | None = None) -> DetailedRun:
        """The details of a run. Whether the caller may see it, `RunService.locate` has checked before.

        :param session_id: the session that the run must be in; None: any.
        :raises NotFound: there is no such run.
        """

        async def work(tx: Tx) -> DetailedRun | None:
            runs = await run_summaries.by_ids(tx, [run_id])
            if not runs or session_id not in (None, runs[0].session_id):
                return None
            session = SessionTx(tx, runs[0].session_id)
            row = await session.one(GET_RUN, {"run_id": runs[0].root_id})
            if row is None:
                return None
            root = run_row(row)
            attempts = await run_attempts.of_root(session, root.run_id)
            elsewhere = [] if root.forked_from is None else await run_forks.members_taken_over(session, root.run_id)
            members = await run_summaries.members(session, root.run_id, elsewhere)
            runs_behind = await runs_behind_of(tx, root)
            return DetailedRun(
                run=runs[0],
                root=root,
                attempts=attempts,
                runs_behind=runs_behind,
                forks=await forks_of(tx, root),
                members=members,
            )

        details = await self._database.scan(work)
        if details is None:
            raise NotFound("Run not found")
        return details

    async def members_with_references(self, details: DetailedRun) -> list[Output]:
        """The outputs of a run's members, direct and indirect, that have references, in the order of the members."""
        prefix = f"{details.run.path}/" if details.run.path else ""
        ids = [member.run_id for member in details.members if member.path.startswith(prefix)]
        ids = [run_id for run_id in ids if run_id != details.run.run_id]
        if not ids:
            return []
        session_id = details.root.session_id
        return await self._database.fetch(lambda tx: run_outputs.with_references(SessionTx(tx, session_id), ids))

    async def results(self, root: RunRow, paths: Iterable[str]) -> dict[str, str | None]:
        """The results of steps of a tree by their paths, as JSON texts; None: there is none."""
        return await self._database.scan(
            lambda tx: run_steps.results(SessionTx(tx, root.session_id), root.run_id, paths)
        )

    async def replay_source(self, root: RunRow) -> ReplaySource:
        """What a root run began with, for a replay.

        :raises NotFound: it was deleted meanwhile.
        """

        async def work(tx: Tx) -> ReplaySource | None:
            tx = SessionTx(tx, root.session_id)
            if await tx.one(run_outputs.GET_INPUT, {"run_id": root.run_id}) is None:
                return None
            steps = await run_steps.results(tx, root.run_id, ["p"])
            prepared: JsonObject | None = None if (text := steps.get("p")) is None else json.loads(text)
            copied = () if root.forked_from is None else await run_steps.page(tx, root.run_id, "", None, None)
            return ReplaySource(
                inputs=await attempt_input.load(tx, root, recorded_history_query(prepared)),
                questions=list((await questions_of(tx, root, [step.path for step in copied])).values()),
            )

        source = await self._database.scan(work)
        if source is None:
            raise NotFound("Run not found")
        return source

    async def content(self, session_id: str, blob_hash: str) -> bytes | None:
        """The content of a medium of a session; None if it is not stored any more."""
        # The hash is not proof enough: the arguments of a call look like a reference if a model writes them so.
        return await self._database.read(lambda tx: blobs.get_used(tx, blob_hash, session_id))
