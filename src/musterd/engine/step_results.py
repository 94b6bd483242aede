"""The results of a workflow's steps so far, read from the journal of a run that has not stored them in its output.

The run is walked through as a later attempt would do it, except that nothing is done: what is not stored is waited for.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from musterd.core.errors import RunFailed, RunRejected
from musterd.core.jsontypes import JsonObject
from musterd.core.records import CODEC, Input, RunRow, StepKind, StepRow
from musterd.core.requirements import Requirement, RequirementKind
from musterd.declare import WorkflowComponent
from musterd.engine.recovery import loaded, names_by_path, tool_step_of
from musterd.engine.resources import Resources
from musterd.flow.walk import Walk
from musterd.loop.assignment import Assignment
from musterd.loop.pausing import Waits
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import Intent, MemberEnd, MemberStart, Steps, ToolStep
from musterd.models.call import ModelAnswer
from musterd.store import journal
from musterd.store.database import Tx
from musterd.store.shards import SessionTx

MAX_STEPS = 200
"""The most stored steps of a run whose results are shown before it pauses or ends."""


async def step_results_so_far(
    resources: Resources, component: WorkflowComponent, run: RunRow, run_input: Input
) -> list[JsonObject]:
    """The results of the workflow's own steps that have ended, with the keys of AgentOS.

    Empty for a function that is a whole workflow, which would have to be called, and for a run with more than
    ``MAX_STEPS`` stored steps: the walk must not keep other requests waiting.
    """
    if component.function is not None:
        return []

    async def read(tx: Tx) -> Sequence[StepRow]:
        tx = SessionTx(tx, run.session_id)
        return await journal.steps(tx, run.root_id) if await journal.count(tx, run.root_id) <= MAX_STEPS else ()

    rows = await resources.database.scan(read)
    if any(row.codec > CODEC for row in rows):
        return []
    tree = RunTree(
        root_id=run.root_id,
        session_id=run.session_id,
        user_id=run.user_id,
        salt=run.salt or run.run_id,
        steps=_StoredSteps(rows),
        emit=lambda event: None,
        models=resources.models,
        settings=resources.settings,
        threads=resources.threads,
        stored_steps=names_by_path(rows),
        finished_steps=frozenset(row.path for row in rows if row.result is not None),
    )
    # Whether its agent runs the workflow or every request does, the steps have the same paths.
    without_agent = replace(component, agent=None)
    assignment = Assignment(
        component=without_agent, run_id=run.run_id, parent_id=None, path="", prompt=run_input.message, state={}
    )
    walk = Walk(tree, assignment)
    with contextlib.suppress(Waits, RunFailed, RunRejected):  # it comes as far as there are results
        await walk.drive()
    return walk.progress.output.step_results


class _StoredSteps(Steps):
    """Steps that are read only: what has no result raises :class:`Waits`, as if a person had to decide first."""

    def __init__(self, rows: Sequence[StepRow]) -> None:
        self._rows = {row.path: row for row in rows if row.result is not None}

    def _stored(self, path: str) -> StepRow:
        if (row := self._rows.get(path)) is None:
            raise Waits([])
        return row

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """The recorded values."""
        return loaded(self._stored(path))

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """The recorded values."""
        return loaded(self._stored(path))

    async def once(
        self,
        kind: StepKind,
        path: str,
        fingerprint: str,
        name: str,
        call: Callable[[], Awaitable[JsonObject]],
        *,
        is_followed: bool = False,
    ) -> JsonObject:
        """The stored result."""
        return loaded(self._stored(path))

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Store nothing."""

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """The stored result."""
        return tool_step_of(self._stored(intent.path), {})

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """No messages."""
        return ()

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """A workflow calls no model itself."""
        raise Waits([])

    def abandoned(self, path: str) -> None:
        """Nothing is called."""

    def input_changed(self, run_id: str, text: str) -> None:
        """Nothing is changed."""

    def member_ended(self, end: MemberEnd) -> None:
        """Nothing is driven."""

    def first_token(self, at: float) -> None:
        """Nothing is driven."""
