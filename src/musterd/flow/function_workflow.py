"""A function that is the whole workflow.

If it calls ``workflow.step(…)``, each of these calls is a journal step, in the order of the calls. The function itself
is not recorded then: a later attempt calls it again from its first line, and its steps return what is stored. Only a
large result of it is recorded, with the end of the run. A function without such calls is one step, whose outcome is
unknown if a crash cuts it off.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import HandedOver, MusterdError, StepFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Agent, Component, Step, StepOutput, Team, Workflow, WorkflowExecutionInput
from musterd.declare.registry import component_below
from musterd.declare.signature import unwrapped
from musterd.declare.workflow.resolved import STEP_IDS, StepNode, WorkflowComponent
from musterd.flow.asking import unknown_outcome
from musterd.flow.divergence import require_nothing_at
from musterd.flow.functions import FunctionStep, call_step, step_function
from musterd.flow.inputs import Scope, read_contents
from musterd.flow.position import Position
from musterd.flow.results import content_place, json_content_of
from musterd.flow.step_runs import never_asks
from musterd.loop import state
from musterd.loop.contained_exits import Interrupted
from musterd.loop.pausing import Waits
from musterd.loop.run_tree import fingerprint
from musterd.loop.steps import Intent, ToolStep

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

Runs = Callable[..., Json] | Agent | Team | Workflow
_PLACE = "f"


class WorkflowRun:
    """The run of a workflow, as its function gets it in its first parameter.

    :param session_state: the state of the session; changes that the function makes are stored.
    """

    def __init__(self, walk: "Walk") -> None:
        self._walk = walk
        self._tasks: list[asyncio.Task[StepOutput | None]] = []
        self._results: dict[int, JsonObject] = {}
        self._components: dict[int, Component | WorkflowComponent] = {}
        self._interruptions: list[Exception] = []
        self._is_finished = False
        self.failed_paths: list[str] = []
        self.unknown_paths: list[str] = []
        self.id = walk.component.id
        self.name = walk.component.name
        self.description = walk.component.spec.description
        self.run_id = walk.run.run_id
        self.session_id = walk.tree.session_id
        self.user_id = walk.tree.user_id
        self.session_state: JsonObject = walk.run.state
        self.workflow_session = walk.session

    def step(self, name: str, runs: Runs, input: Json = None, /, **options: Json) -> Awaitable[StepOutput | None]:
        """Run a function, an agent, a team or another workflow as a step. It begins at once; await its result.

        :param name: the name of the step.
        :param runs: what it runs.
        :param input: what it gets as the content of the step before; None: the input of the run.
        :param options: further fields of :class:`musterd.Step`, such as ``retry_safe`` or ``requires_confirmation``.
        :return: its result; None: a person skipped it.
        :raises StepFailed: it failed.
        """
        if self._is_finished:
            raise Interrupted
        number = len(self._tasks)
        node = self._node(name, runs, number, options)
        task = asyncio.get_running_loop().create_task(self._run(node, number, input))
        self._tasks.append(task)
        return task

    def _node(self, name: str, runs: Runs, number: int, options: JsonObject) -> StepNode:
        kind = runs.kind if isinstance(runs, Agent | Team | Workflow) else "executor"
        place, fields = f"s{number}", {kind: runs, **options}
        return StepNode(
            kind="step",
            spec=Step(name=name, **fields),
            name=name,
            step_id=clock.derived_id(STEP_IDS, f"{self.id}/{place}"),
            place=place,
            component=None if not isinstance(runs, Agent | Team | Workflow) else self._component(runs),
        )

    def _component(self, spec: Agent | Team | Workflow) -> Component | WorkflowComponent:
        component = self._components.get(id(spec))
        if component is None:
            component = self._components[id(spec)] = component_below(self._walk.component, spec)
        return component

    async def _run(self, node: StepNode, number: int, initial: Json) -> StepOutput | None:
        walk, scope = self._walk, Scope(state=self.session_state, initial=initial)
        try:
            if node.component is not None:
                await walk.tree.models.load(node.component)
            result = await walk.node(walk.top_position(node, number), scope)
        except StepFailed as failure:  # the function may handle it
            self.failed_paths += failure.paths
            self.unknown_paths += failure.unknown_paths
            raise
        except MusterdError as interruption:
            # The run cannot go on now, or at all. Not an Exception, so that the function does not handle it.
            self._interruptions.append(interruption)
            raise Interrupted from interruption
        if result is None:
            return None
        await read_contents(walk, [result])
        self._results[number] = result.record
        walk.progress.output.step_results = [record for _, record in sorted(self._results.items())]
        return result.output

    async def finish(self, *, is_cancelled: bool) -> None:
        """Wait until all steps have ended, and begin no more.

        :param is_cancelled: whether to cancel those that are under way.
        :raises MusterdError: one of them interrupted the function.
        """
        # A function that was left may have branches that go on, each with its next step. So this is repeated.
        while running := [task for task in self._tasks if not task.done()]:
            # As in a `Parallel`: a step that waits for a person or is handed over lets the others finish.
            if is_cancelled or any(not isinstance(error, Waits | HandedOver) for error in self._interruptions):
                self._is_finished = True
                for task in running:
                    task.cancel()
            await asyncio.wait(running)
        self._is_finished = True
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # retrieved, because the function need not have awaited it
        if others := [error for error in self._interruptions if not isinstance(error, Waits)]:
            raise others[0]
        if waits := [error for error in self._interruptions if isinstance(error, Waits)]:
            raise Waits([requirement for error in waits for requirement in error.requirements])
        if not is_cancelled:
            require_nothing_at(self._walk, self._walk.run.at(f"s{len(self._tasks)}"))


async def run_function(walk: "Walk", function: Callable[..., Json]) -> Json:
    """Run the function, and return its content.

    :raises StepFailed: it failed.
    """
    path, handle = walk.run.at(_PLACE), WorkflowRun(walk)
    if _calls_steps(function):
        step = await _call(walk, function, path, handle)
        if not step.is_error and content_place(path, step) is not None:
            step = await _keep_apart(walk, function, path, step)
    else:
        step = await _call_as_step(walk, function, path, handle)
    walk.progress.output.content_at = None if step.is_error else content_place(path, step)
    details = step.details or {}
    if step.is_error or details.get("success") is False:
        error = step.result if step.is_error else details["error"]
        is_unknown = step.is_error and "error_type" not in details
        paths, unknown_paths = ([], [path]) if is_unknown else ([path], [])
        message = f"Workflow '{walk.component.id}' failed: {error}"
        raise StepFailed(message, [*paths, *handle.failed_paths], [*unknown_paths, *handle.unknown_paths])
    state.merge(walk.run.state, step.state_delta)
    if step.media:
        walk.progress.add_media(step.media)
    if step.unread_characters is not None:
        step = replace(step, result=(await walk.tree.read_contents([path])).get(path, ""))
    return json_content_of(step)


def _calls_steps(function: Callable[..., Json]) -> bool:
    """Whether the code of the function names an attribute ``step``, also in functions and comprehensions in it."""
    codes = [getattr(unwrapped(function), "__code__", None)]
    while codes:
        code = codes.pop()
        if code is not None:
            if "step" in code.co_names:
                return True
            codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return False


def _function_step(walk: "Walk", function: Callable[..., Json], handle: WorkflowRun) -> FunctionStep:
    run = walk.run
    execution_input = WorkflowExecutionInput(
        input=walk.input,
        additional_data=walk.additional_data or None,
        **{name: list(items) for name, items in run.media.items() if items},
    )
    return FunctionStep(
        function=step_function(walk.component.name, function, walk.component.spec.declared_at),
        first=(handle, execution_input),
        on_text=partial(walk.emit_text, walk.run.at(_PLACE), None),
        values=_arguments(walk),
    )


def _arguments(walk: "Walk") -> JsonObject:
    """The request's arguments, in the types that the function declares."""
    stored: JsonObject = walk.run.request_options.get("arguments") or {}
    parameters = walk.component.parameters
    if parameters is None:
        return stored
    try:
        return parameters.arguments(stored)
    except ValueError:  # the function was changed after the run was accepted: the call says what is wrong
        return stored


async def _call(walk: "Walk", function: Callable[..., Json], path: str, handle: WorkflowRun) -> ToolStep:
    """Call the function, and wait for the steps that it has begun.

    :raises MusterdError: one of its steps cannot go on now, or at all.
    """
    try:
        step = await call_step(walk, _function_step(walk, function, handle), path, walk.run.state, handle)
    except Interrupted:
        step = None
    except asyncio.CancelledError:
        await handle.finish(is_cancelled=True)
        raise
    await handle.finish(is_cancelled=False)
    assert step is not None, "an interrupted function raises in finish()"
    return step


async def _keep_apart(walk: "Walk", function: Callable[..., Json], path: str, step: ToolStep) -> ToolStep:
    """Store the large result of a function that has called steps, so that the end event refers to it."""

    async def returned() -> ToolStep:
        return step

    # Without an intent, and with the end of the run: until then a later attempt calls the function again.
    intent = replace(_intent(walk, function, path), is_retry_safe=True, is_followed=True)
    return await walk.tree.steps.tool(intent, returned, never_asks)


async def _call_as_step(walk: "Walk", function: Callable[..., Json], path: str, handle: WorkflowRun) -> ToolStep:
    component, spec = walk.component, walk.component.spec
    node = StepNode(
        kind="step",
        spec=Step(name=component.name, executor=lambda step_input: step_input, description=spec.description),
        name=component.name,
        step_id=clock.derived_id(STEP_IDS, f"{component.id}/{_PLACE}"),
        place=_PLACE,
    )
    # If another function, which it passes the workflow on to, has called steps, they return what is stored.
    is_retry_safe = walk.run.at("s0") in walk.tree.stored_steps
    intent = replace(_intent(walk, function, path), is_retry_safe=is_retry_safe)
    position = Position(node=node, path=path, index=(0,))
    # Committed before the call: a crash during it leaves an intent whose outcome is unknown.
    await walk.tree.steps.intend([intent], [])
    return await walk.tree.steps.tool(
        intent,
        lambda: _call(walk, function, path, handle),
        lambda kind: unknown_outcome(walk, position, path),
    )


def _intent(walk: "Walk", function: Callable[..., Json], path: str) -> Intent:
    component = walk.component
    return Intent(
        path=path,
        kind=StepKind.FUNCTION,
        name=component.name,
        fingerprint=fingerprint(StepKind.FUNCTION, component.id, component.name, _PLACE),
        is_stoppable=inspect.iscoroutinefunction(unwrapped(function)),
        keeps_content_apart=True,
    )
