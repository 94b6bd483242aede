"""The runs that steps start: of an agent, a team or another workflow. Each is a run of its own, as a member's is."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from musterd.core import clock
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium, missing, with_contents
from musterd.core.records import StepKind, StepState
from musterd.core.requirements import Requirement, RequirementKind
from musterd.declare import Component
from musterd.declare.workflow.resolved import WorkflowComponent
from musterd.flow.inputs import prompt_of_step
from musterd.flow.position import Position, step_fingerprint
from musterd.flow.results import JSON, class_name
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.media import member_messages
from musterd.loop.members import Drivable, drive_member, member_start
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import Intent, MemberStart, ToolStep
from musterd.loop.structured_answers import AnswerForm, AnswerInvalid
from musterd.loop.tool_results import within_limit
from musterd.wire.metrics import run_metrics

if TYPE_CHECKING:
    from musterd.flow.walk import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """A run that a step starts.

    :param path: its place in the run tree.
    :param message: the text of its prompt.
    :param media: media that the step before produced.
    :param state: the session state; the run works on a copy.
    :param timeout_seconds: how long it may take.
    :param is_strict: whether the message must match the schema of the component's messages.
    """

    component: Component | WorkflowComponent
    path: str
    message: str
    state: JsonObject
    media: Sequence[Medium] = ()
    timeout_seconds: float | None = None
    is_strict: bool = False


async def drive_step_run(walk: "Walk", position: Position, step_run: StepRun) -> ToolStep:
    """Drive the run of a step to its end, or return the stored result. Its failure is a failed result."""
    tree, node, path = walk.tree, position.node, step_run.path
    intent = Intent(
        path=path,
        kind=StepKind.DELEGATE,
        name=node.name,
        fingerprint=step_fingerprint(StepKind.DELEGATE, walk.run.component.id, node.name, node.place),
        is_retry_safe=True,  # a run that was cut off goes on at its own steps
        is_followed=position.is_followed,
        keeps_content_apart=True,
    )
    refusal, starts = _refusal(walk, step_run), list[MemberStart]()
    if refusal is None:
        starts.append(member_start(tree, walk.run, step_run.component, path, step_run.message, position.head))
    # The row of the run is committed with the intent. A crash between two commits would leave an intent whose run
    # cannot be seen or cancelled, or a run that no step waits for.
    await tree.steps.intend([intent], starts)

    async def drive() -> ToolStep:
        return await _drive(walk, position, step_run) if refusal is None else refusal

    return await tree.steps.tool(intent, drive, never_asks)


def _refusal(walk: "Walk", step_run: StepRun) -> ToolStep | None:
    """The result of a step whose run must not begin; None: it may."""
    if walk.run.depth + 1 > walk.tree.settings.max_depth:
        return _refused(f"Steps are limited to {walk.tree.settings.max_depth} levels.")
    if step_run.is_strict and (problem := _schema_problem(step_run.component, step_run.message)) is not None:
        return _refused(problem)
    return None


def never_asks(kind: RequirementKind) -> Requirement:
    """The question about a run whose outcome is unknown: there is none."""
    raise AssertionError("the outcome of a run is never unknown")


async def _drive(walk: "Walk", position: Position, step_run: StepRun) -> ToolStep:
    tree, run, component = walk.tree, walk.run, step_run.component
    media = step_run.media
    if hashes := missing(media):  # of an agent's or a team's step
        media = with_contents(media, await tree.read_media(hashes))
    child = Assignment(
        component=component,
        run_id=clock.derived_id(tree.salt, step_run.path),
        parent_id=run.run_id,
        path=step_run.path,
        prompt=prompt_of_step(walk, component, step_run.message, media),
        state=_state_of(component, step_run.state),
        depth=run.depth + 1,
        history=() if isinstance(component, WorkflowComponent) else member_messages(tree, component),
        inherited_dependencies=run.dependencies,
        inherited_metadata=run.metadata,
        step=position.head,
        media=run.media,
    )
    driven: list[Drivable] = []

    def make(tree: RunTree, assignment: Assignment[Component | WorkflowComponent]) -> Drivable:
        driven.append(walk.make_drivable(tree, assignment))
        return driven[0]

    deadline = _Deadline(walk, child.run_id, step_run.timeout_seconds)
    try:
        step = await drive_member(tree, child, make)
    finally:
        deadline.cancel()
    if isinstance(component, WorkflowComponent):  # with the initial values of its own
        step = replace(step, state_delta=state.delta(step_run.state, child.state))
    step = within_limit(step, tree.settings.tool_result_stored_bytes)
    if not step.is_error:
        return replace(step, details=_details(walk, component, driven[0]))
    if deadline.is_over:
        message = f"No result after {step_run.timeout_seconds} s."
        return replace(step, result=message, details={"error_type": "TimeoutError"})
    if tree.stops.is_stopped(child.run_id):  # by a person: nothing is retried, and the workflow goes on
        return replace(step, details={"is_stopped": True})
    error = (driven[0].progress.output.error if driven else None) or {}
    return replace(step, details={"error_type": error.get("code"), "is_final": not error.get("retryable", False)})


def _state_of(component: Component | WorkflowComponent, session_state: JsonObject) -> JsonObject:
    """The state that a run works on; a workflow's own initial values are in it if the session has no others."""
    initial = component.spec.session_state or {} if isinstance(component, WorkflowComponent) else {}
    return state.copied({**initial, **session_state})


class _Deadline:
    """Stops a run when its time is over, as a person would who cancels it alone.

    :param seconds: None: its time is not limited.
    """

    def __init__(self, walk: "Walk", run_id: str, seconds: float | None) -> None:
        self.is_over = False
        self._stops, self._run_id = walk.tree.stops, run_id
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self.is_over = True
        self._stops.stop(self._run_id)

    def cancel(self) -> None:
        """Stop nothing: the run has ended."""
        if self._timer is not None:
            self._timer.cancel()


def _details(walk: "Walk", component: Component | WorkflowComponent, driven: Drivable) -> JsonObject | None:
    info, output = walk.tree.models.describe(component), driven.progress.output
    details: JsonObject = {}
    if not isinstance(output.content, str):
        details["content"] = JSON
        schema = component.spec.output_schema if isinstance(component, Component) else None
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            details["class"] = class_name(schema)
    if metrics := run_metrics(output, info.model, info.provider):
        details["metrics"] = metrics
    return details or None


def _schema_problem(component: Component | WorkflowComponent, message: str) -> str | None:
    """Why a message does not match the schema of the component's messages; None: it does, or there is no schema."""
    if component.message_schema is None:
        return None
    name, schema = component.message_schema
    try:
        AnswerForm(name=name, schema=schema).check(json.loads(message))
    except ValueError:
        return f"The message is not JSON of {name}."
    except AnswerInvalid as problem:
        return f"The message is not JSON of {name}: {str(problem)[:200]}"
    return None


def _refused(message: str) -> ToolStep:
    return ToolStep(
        result=message,
        is_error=True,
        started_at=clock.now(),
        seconds=0.0,
        state=StepState.FAILED,
        details={"is_final": True},
    )
