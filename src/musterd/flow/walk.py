"""The walk: one run of a workflow, from its first step to its result.

Every effect on the outside world is a journal step, as in :mod:`musterd.loop.loop`: a later attempt walks the same tree
again and gets what is stored. The runs of agents, teams and nested workflows are children of this run.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from musterd.core import clock
from musterd.core.errors import LimitReached
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Output, StepKind
from musterd.core.step_contents import AT
from musterd.declare import Component
from musterd.declare.workflow.resolved import StepNode, WorkflowComponent
from musterd.declare.workflow.step_io import WorkflowSession
from musterd.flow import containers
from musterd.flow.divergence import require_last, require_same_kind
from musterd.flow.inputs import Scope, read_contents
from musterd.flow.position import Position, followed
from musterd.flow.results import StepResult, as_json
from musterd.flow.single_step import run_step
from musterd.loop import state
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.context import member_history_record
from musterd.loop.hooks import message_of
from musterd.loop.loop import Loop
from musterd.loop.members import Drivable
from musterd.loop.run_tree import RunTree, fingerprint

EARLIER_RUNS = 20
"""The most earlier runs of the session that steps can read."""
EARLIER_CHARACTERS = 10_000
"""The most characters of each input and output of an earlier run."""

RunNode = Callable[["Walk", Position, Scope], Awaitable[StepResult | None]]
_RUNNERS: Mapping[str, RunNode] = {
    "step": run_step,
    "steps": containers.run_steps,
    "parallel": containers.run_parallel,
    "condition": containers.run_condition,
    "loop": containers.run_loop,
    "router": containers.run_router,
}


def drivable(tree: RunTree, run: Assignment[Component | WorkflowComponent]) -> "Loop | Walk":
    """What drives a run: the walk of a workflow, or the loop of an agent or a team."""
    component = run.component
    if isinstance(component, WorkflowComponent):
        return Walk(tree, run.of(component))
    return Loop(tree, run.of(component))


class Walk:
    """Drives one run of a workflow."""

    def __init__(self, tree: RunTree, run: Assignment[WorkflowComponent]) -> None:
        self.tree = tree
        self.run = run
        self.component = run.component
        self.progress = Progress()
        self.started = clock.monotonic()
        self.session = WorkflowSession(session_id=tree.session_id, user_id=tree.user_id)
        self.input = _input_of(run.component, message_of(run.prompt))
        self.additional_data: JsonObject = run.request_options.get("additional_data") or {}
        self._step_count = 0

    async def drive(self) -> Output:
        """Drive the run to its result.

        :raises RunFailed: a step failed and that ends the run, or a limit was reached.
        :raises RunRejected: a person rejected a step, and that ends the run.
        """
        # Each attempt emits all events from the beginning; the outbox skips those that are stored.
        self._emit_started()
        await self._prepare()
        if self.component.agent is not None:
            from musterd.flow.workflow_agent import run_with_agent

            return self._finish(await run_with_agent(self, self.component.agent))
        return self._finish(await self._run())

    async def run_for(self, query: str) -> Json:
        """Run the workflow for the query of its agent, and return its content.

        :raises RunFailed: a step failed and that ends the run, or a limit was reached.
        :raises RunRejected: a person rejected a step, and that ends the run.
        """
        self.tree.emit_now(EventKind.WORKFLOW_CALLED, self.run.run_id)
        self.input = _input_of(self.component, query)
        return await self._run()

    # --- steps --------------------------------------------------------------------------------------

    async def _run(self) -> Json:
        if self.component.function is None:
            return await self._run_list()
        from musterd.flow.function_workflow import run_function

        return await run_function(self, self.component.function)

    async def _run_list(self) -> Json:
        scope = Scope(state=self.run.state)
        follows = followed(self.component.steps, is_last_followed=True)
        positions = [
            self.top_position(node, number, is_followed=follows[number])
            for number, node in enumerate(self.component.steps)
        ]
        await self.sequence(positions, scope, self.note_result)
        if (source := scope.source) is not None:
            await read_contents(self, [source])
            return source.output.content
        outputs = self.progress.output.step_results
        return outputs[-1]["content"] if outputs else "No steps executed"

    def top_position(self, node: StepNode, number: int, *, is_followed: bool = False) -> Position:
        """The position of a step of the workflow itself."""
        return Position(node=node, path=self.run.at(f"s{number}"), index=(number,), is_followed=is_followed)

    def note_result(self, result: StepResult) -> None:
        """Add the result of a step of the workflow itself to the run's output."""
        output = self.progress.output
        output.step_results.append(result.record)
        if (source := result.source) is not None:  # what a cancelled run shows
            output.content, output.content_at = as_json(source.output.content), source.record.get(AT)

    async def sequence(
        self,
        positions: Sequence[Position],
        scope: Scope,
        on_result: Callable[[StepResult], object] | None = None,
    ) -> list[StepResult]:
        """Run steps one after another until one stops the workflow. Steps that a person skipped have no result."""
        done: list[StepResult] = []
        for position in positions:
            result = await self.node(position, scope)
            if result is None:
                continue
            scope.note(result)
            done.append(result)
            if on_result is not None:
                on_result(result)
            if result.output.stop:
                return done
        require_last(self, positions)
        return done

    async def node(self, position: Position, scope: Scope) -> StepResult | None:
        """Run a step or a container; None: a person skipped it.

        :raises LimitReached: the run has too many steps.
        :raises ReplayDiverged: something else is stored at its place.
        """
        self._step_count += 1
        limit = self.tree.settings.max_workflow_steps
        if self._step_count > limit:
            problem = f"The limit of {limit} steps was reached. Raise MUSTERD_MAX_WORKFLOW_STEPS."
            raise LimitReached(problem, "max_workflow_steps")
        require_same_kind(self, position)
        return await _RUNNERS[position.node.kind](self, position, scope)

    def make_drivable(self, tree: RunTree, run: Assignment[Component | WorkflowComponent]) -> Drivable:
        """What drives the run that a step starts."""
        return drivable(tree, run)

    def emit(self, kind: EventKind, position: Position, data: JsonObject | None = None, suffix: str = "") -> None:
        """Emit an event about a step.

        :param suffix: what tells it apart from other events of its kind about the step.
        """
        place = f"{position.path}/{suffix}" if suffix else position.path
        self.tree.emit_now(kind, self.run.run_id, {"step": position.head, **(data or {})}, place)

    def emit_text(self, path: str, step: JsonObject | None, text: str) -> None:
        """Emit a text that the generator of a step yields, while it goes on.

        :param step: what identifies the step; None: the function is the whole workflow.
        """
        if text and self.component.streams_members:
            data: JsonObject = (
                {"path": path, "text": text} if step is None else {"path": path, "text": text, "step": step}
            )
            self.tree.emit_now(EventKind.STEP_CONTENT, self.run.run_id, data)

    # --- before the first step and after the last one -----------------------------------------------

    def _emit_started(self) -> None:
        run, component = self.run, self.component
        data: JsonObject = {
            "model": "",
            "model_provider": "",
            "component_kind": component.kind,
            "component_id": component.id,
            "component_name": component.name,
            "parent_id": run.parent_id,
        }
        if run.step is not None:
            data["step"] = run.step
        if component.agent is not None:
            data["has_agent"] = True
        self.tree.emit_now(EventKind.RUN_STARTED, run.run_id, data)

    async def _prepare(self) -> None:
        """Record what the run takes from the outside world: the time, the state, earlier runs, and the plan."""
        run = self.run
        step = fingerprint(StepKind.PREPARE, run.component.id, "", None)
        prepared = await self.tree.steps.take(run.at("p"), step, self._taken)
        # In place, and from the record, as in Loop._prepare.
        run.state.clear()
        run.state.update(state.copied(prepared["state"]))
        history = [(run_input, output) for run_input, output in prepared["history"]]
        self.session = WorkflowSession(session_id=self.tree.session_id, user_id=self.tree.user_id, history=history)

    async def _taken(self) -> JsonObject:
        run = self.run
        is_first = run.parent_id is not None or run.opens_session
        history = () if is_first else await self.tree.history.inputs_and_outputs(EARLIER_RUNS)
        return {
            "at": clock.now(),
            "definition": run.component.definition_hash,
            "session_state": run.session_state,
            "state": state.copied(run.state),
            "history_runs": [],
            "history": [[text[:EARLIER_CHARACTERS] for text in earlier] for earlier in history],
            **member_history_record(self.tree, run),
            "plan": [_plan(node) for node in self.component.steps],
        }

    def _finish(self, content: Json) -> Output:
        output = self.progress.output
        output.content = as_json(content)
        output.content_type = "str" if isinstance(content, str) else type(content).__name__
        output.seconds = clock.monotonic() - self.started
        self.progress.is_answered = True
        return output


def _input_of(component: WorkflowComponent, text: str) -> Json:
    """The input of a run: its message, or the object that the message is if there is a schema."""
    schema = component.spec.input_schema
    if schema is None:
        return text
    try:
        return json.loads(text) if isinstance(schema, Mapping) else schema.model_validate_json(text)
    except ValueError:  # of a nested workflow, what the step before returned; or the query of an agent
        return text


def _plan(node: StepNode) -> JsonObject:
    """What is stored of the declaration, so that the run can be read without it."""
    plan: JsonObject = {
        "kind": node.kind,
        "name": node.name,
        "step_id": node.step_id,
        "place": node.place,
        "executor_type": node.executor_type,
        "executor_name": node.executor_name,
    }
    if node.children:
        plan["steps"] = [_plan(child) for child in node.children]
    if node.else_children:
        plan["else_steps"] = [_plan(child) for child in node.else_children]
    return plan
