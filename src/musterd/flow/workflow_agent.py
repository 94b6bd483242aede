"""The agent of a workflow: it answers a request itself, or runs the workflow once.

Its run is a member run at the path ``a``, driven by the loop. Its only tool walks the steps, which keep the paths that
they have without an agent. A call that is stored is not made again. Its steps are walked over once more then, after the
agent has ended: the output of the run has their results and their changes of the state.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import RunFailed, RunRejected, StepFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Component, Tool
from musterd.declare.schema_tool import schema_tool
from musterd.declare.workflow.workflow_agent import CONTEXT, RUN_WORKFLOW
from musterd.flow.inputs import prompt_of_step
from musterd.flow.step_runs import never_asks
from musterd.loop import state
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.builtin_tools import Rejected, ToolCallContext
from musterd.loop.hooks import message_of
from musterd.loop.members import Drivable, drive_member, member_start
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.steps import Intent, ToolStep
from musterd.loop.tool_results import as_text, error_text, within_limit

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

_PLACE = "a"
_DESCRIPTION = "Run the workflow with a query, and get its result. Call it once, and only if it is needed."
_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "The request to the workflow, clear and complete."}},
    "required": ["query"],
    "additionalProperties": False,
}


async def run_with_agent(walk: "Walk", agent: Component) -> Json:
    """Drive the agent, and return the content of the run: that of the workflow, or the agent's answer.

    :raises RunFailed: the workflow or the agent failed.
    :raises RunRejected: a person cancelled the agent's run.
    """
    tree, run = walk.tree, walk.run
    path, agent_run = run.at(_PLACE), _AgentRun(walk, agent)
    intent = Intent(
        path=path,
        kind=StepKind.DELEGATE,
        name=agent.name,
        fingerprint=fingerprint(StepKind.DELEGATE, run.component.id, agent.id, _PLACE),
        is_retry_safe=True,  # a run that was cut off goes on at its own steps
        # Its failure is stored with the end of the run. After a crash between two commits, the next attempt would know
        # that the agent failed, but not at which step of the workflow.
        is_followed=True,
        ends_if_failed=True,
    )
    # As of a step's run: its row and the intent are one commit.
    await tree.steps.intend([intent], [member_start(tree, run, agent, path, message_of(run.prompt))])
    step = await tree.steps.tool(intent, lambda: agent_run.drive(path), never_asks)
    # If another attempt has stored the call, nothing was walked here yet: the walk over the stored steps follows.
    query, content = (step.details or {}).get("query"), step.result
    if query is not None:  # before a failure of the agent, which the results of the steps and their state outlive
        content = await agent_run.content_of_workflow(query)
    if step.is_error:
        raise agent_run.failure or _failure(walk, step)
    tree.emit_now(EventKind.WORKFLOW_AGENT_COMPLETED, run.run_id, {"content": step.result})
    if query is None:
        walk.progress.output.is_agent_answer = True
        walk.progress.add_media(step.media)
    return content


def _failure(walk: "Walk", step: ToolStep) -> RunFailed | RunRejected:
    if (step.details or {}).get("is_stopped"):
        return RunRejected(step.result)
    return StepFailed(f"Workflow '{walk.component.id}' failed: {step.result}")


class _AgentRun:
    """The run of the agent.

    :param failure: why the workflow failed that it ran, if it did.
    """

    def __init__(self, walk: "Walk", agent: Component) -> None:
        self._walk = walk
        self._agent = agent
        self._progress = Progress()
        self._has_begun = False
        self._content: tuple[Json] | None = None
        self.failure: RunFailed | None = None

    async def drive(self, path: str) -> ToolStep:
        """Drive it to its end. Its failure is a failed result."""
        walk, run, tree = self._walk, self._walk.run, self._walk.tree
        assignment = Assignment(
            component=self._agent,
            run_id=clock.derived_id(tree.salt, path),
            parent_id=run.run_id,
            path=path,
            prompt=prompt_of_step(walk, self._agent, message_of(run.prompt), ()),
            state=state.copied(run.state),
            depth=run.depth + 1,
            inherited_dependencies={**run.dependencies, CONTEXT: self._context()},
            inherited_metadata=run.metadata,
            media=run.media,
            tools=(self._tool(),),
        )
        step = within_limit(
            await drive_member(tree, assignment, self._make_loop), tree.settings.tool_result_stored_bytes
        )
        details: JsonObject = {"is_stopped": True} if tree.stops.is_stopped(assignment.run_id) else {}
        if (query := self._query()) is not None:
            details["query"] = query
        return replace(step, details=details or None)

    async def content_of_workflow(self, query: str) -> Json:
        """The content of the workflow that the agent ran. Its steps are stored if another attempt walked them."""
        if self._content is None:
            self._content = (await self._walk.run_for(query),)
        return self._content[0]

    def _make_loop(self, tree: RunTree, run: Assignment) -> Drivable:
        loop = self._walk.make_drivable(tree, run)
        self._progress = loop.progress
        return loop

    def _query(self) -> str | None:
        """The query of the call that ran the workflow, which is the agent's only call that can succeed."""
        return next((call.args["query"] for call in self._progress.output.tools if call.is_error is False), None)

    def _context(self) -> str:
        """What the agent knows of the workflow: its description, and earlier runs."""
        spec = self._walk.component.spec
        assert spec.agent is not None
        parts = [f"The workflow: {spec.description}"] if spec.description else []
        if spec.agent.add_workflow_history:
            history = self._walk.session.get_workflow_history_context(spec.agent.num_history_runs)
            parts.append(history or "There are no earlier runs in this session.")
        return "\n\n".join(parts)

    def _tool(self) -> Tool:
        """The agent's tool. If a crash cuts it off, the walk goes on at its step, so it is called again."""
        spec = self._walk.component.spec
        return schema_tool(
            RUN_WORKFLOW,
            _DESCRIPTION,
            _PARAMETERS,
            self._run_workflow,
            spec.declared_at,
            retry_safe=True,
            is_own=True,
        )

    async def _run_workflow(self, arguments: JsonObject, _context: ToolCallContext) -> str:
        if self._has_begun or self._query() is not None:
            raise Rejected("The workflow has already been run for this request. Answer with its result.")
        self._has_begun = True
        try:
            content = await self.content_of_workflow(arguments["query"])
        except RunFailed as failure:
            self.failure = failure
            raise
        # Cut, and not refused: what the model cannot read in full is the content of the run all the same.
        return error_text(as_text(content), self._walk.tree.settings.tool_result_stored_bytes)
