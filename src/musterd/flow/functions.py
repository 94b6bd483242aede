"""Calls of the functions of a workflow: executors, which are steps with an effect, and the functions that choose."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepState
from musterd.declare import Tool, ToolContext
from musterd.declare.run_context import requested_arguments
from musterd.declare.schema_tool import SchemaSignature
from musterd.declare.signature import unwrapped
from musterd.declare.source_location import Place, describe_type, is_from_agno
from musterd.declare.tool_result import ToolResult
from musterd.declare.workflow.resolved import StepNode
from musterd.declare.workflow.step_io import StepOutput
from musterd.declare.workflow.steps import Step
from musterd.flow.results import content_text
from musterd.loop.functions import call_function
from musterd.loop.progress import CallContext
from musterd.loop.steps import ToolStep

if TYPE_CHECKING:
    from musterd.flow.walk import Walk


class StateHolder(Protocol):
    """Holds the session state for a running function."""

    session_state: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFunction:
    """A function that is called as a step, with the values that all calls share.

    :param tool: makes a call, with the arguments ``{"call": _Call}``.
    :param is_stoppable: whether a call stops when it is cancelled; a plain function continues in its thread.
    """

    function: Callable[..., Json]
    tool: Tool
    is_stoppable: bool


def executor_of(node: StepNode) -> StepFunction:
    """The function that a step calls."""
    # Kept by the node, so that it goes with the node. The steps of a whole-workflow function live for one run, and
    # their functions may refer to it: a dictionary of this module would keep such a run for ever, even with weak keys.
    if node.executor is None:
        spec = node.spec
        assert isinstance(spec, Step)
        assert spec.executor is not None
        node.executor = step_function(node.name, spec.executor, spec.declared_at, spec.timeout_seconds)
    executor: StepFunction = node.executor
    return executor


def step_function(
    name: str, function: Callable[..., Json], declared_at: Place, timeout_seconds: float | None = None
) -> StepFunction:
    """Create the function of a step with this name."""
    plain = unwrapped(function)
    is_async = inspect.iscoroutinefunction(plain)
    tool = Tool(
        name=name,
        description="",
        parameters={},
        function=_run_async if is_async else _run,
        is_async=is_async,
        signature=SchemaSignature({}),
        declared_at=declared_at,
        timeout_seconds=timeout_seconds,
    )
    return StepFunction(function=function, tool=tool, is_stoppable=is_async or inspect.isasyncgenfunction(plain))


@dataclass(slots=True, kw_only=True)
class FunctionStep:
    """A call of a function as a step.

    :param first: the positional arguments.
    :param values: keyword arguments; the function gets those for which it has a parameter.
    :param on_text: emits a text that it yields, if it is a generator.
    """

    function: StepFunction
    first: tuple[Json, ...]
    on_text: Callable[[str], object]
    values: JsonObject = field(default_factory=dict)


async def call_step(
    walk: "Walk", step: FunctionStep, path: str, session_state: JsonObject, holder: StateHolder | None = None
) -> ToolStep:
    """Call a function as the step at ``path``, with what a tool call has: a time limit, a context, a copy of the state.

    Any exception becomes a failed result.

    :param holder: gets the copy of the state that the function works on.
    """
    call, tool, call_id = _Call(step, holder), step.function.tool, walk.tree.claim_call_id("", path)
    run = walk.run if walk.run.state is session_state else replace(walk.run, state=session_state)
    result = await call_function(walk.tree, run, tool, call_id, path, {"call": call})
    details = call.details
    if result.is_error:
        is_timeout = result.state is StepState.UNKNOWN and call.error_type in (None, "CancelledError")
        details = {"error_type": "TimeoutError" if is_timeout else call.error_type}
    known = {name: value for name, value in details.items() if value is not None}
    return replace(result, details=known) if known else result


def _run(arguments: JsonObject, context: ToolContext) -> Json:
    """Call a plain function, in a thread."""
    call: _Call = arguments["call"]
    return call.run(context)


async def _run_async(arguments: JsonObject, context: ToolContext) -> Json:
    """Call an async function."""
    call: _Call = arguments["call"]
    return await call.run_async(context)


class _Call:
    """One call of a function, with what becomes known of it besides its result's text and media."""

    def __init__(self, step: FunctionStep, holder: StateHolder | None) -> None:
        self._step = step
        self._holder = holder
        self.details: JsonObject = {}
        self.error_type: str | None = None

    def run(self, context: ToolContext) -> Json:
        """Call a plain function, in a thread."""
        try:
            returned = self._call(context)
            # A generator runs here, because its code must not block the event loop either.
            if inspect.isgenerator(returned):
                returned = self._collected(returned, context)
            return self._finish_awaited(returned, context) if _is_awaited(returned) else self._finish(returned)
        except BaseException as error:
            self.error_type = type(error).__name__
            raise

    async def run_async(self, context: ToolContext) -> Json:
        """Call an async function."""
        return await self._finish_awaited(self._call(context), context)

    async def _finish_awaited(self, returned: Json, context: ToolContext) -> Json:
        try:
            if inspect.isasyncgen(returned):
                returned = await self._collected_async(returned, context)
            elif inspect.isawaitable(returned):
                returned = await returned
            return self._finish(returned)
        except BaseException as error:
            self.error_type = type(error).__name__
            raise

    def _call(self, context: ToolContext) -> Json:
        step, function = self._step, self._step.function.function
        if self._holder is not None:
            self._holder.session_state = context.session_state
        filled = {"session_state": context.session_state, "dependencies": context.dependencies}
        values = {**step.values, **filled, "run_context": context}
        return function(*step.first, **requested_arguments(function, values))

    def _collected(self, generator: Iterator[Json], context: ToolContext) -> Json:
        """What a generator amounts to: its last ``StepOutput``, or else what it returns, or else its texts joined."""
        collected = _Collected(partial(self._emit_text, context))
        while True:
            try:
                collected.add(next(generator))
            except StopIteration as end:
                return collected.result if end.value is None else end.value

    async def _collected_async(self, generator: AsyncIterator[Json], context: ToolContext) -> Json:
        collected = _Collected(partial(self._emit_text, context))
        async for item in generator:
            collected.add(item)
        return collected.result

    def _emit_text(self, context: ToolContext, text: str) -> None:
        assert isinstance(context, CallContext), "only a run calls steps"
        context.reports.emit(partial(self._step.on_text, text))

    def _finish(self, returned: Json) -> Json:
        if is_from_agno(type(returned)):
            # Taken for a content, it would lose its success, its error and its stop.
            raise TypeError(f"it returned {describe_type(returned)}: import the class from musterd")
        output = returned if isinstance(returned, StepOutput) else StepOutput(content=returned)
        text, kind = content_text(output.content)
        self.details = {
            **kind,
            "success": None if output.success else False,
            "error": output.error if output.success else output.error or text or "the function returned a failure",
            "stop": output.stop or None,
        }
        return ToolResult(
            content=text,
            images=output.images or (),
            audios=output.audio or (),
            videos=output.videos or (),
            files=output.files or (),
        )


def _is_awaited(returned: Json) -> bool:
    return inspect.isawaitable(returned) or inspect.isasyncgen(returned)


class _Collected:
    """What a generator has yielded.

    :param on_text: called with each text.
    """

    def __init__(self, on_text: Callable[[str], object]) -> None:
        self._on_text = on_text
        self._texts: list[str] = []
        self._output: Json = None

    def add(self, item: Json) -> None:
        if isinstance(item, StepOutput) or is_from_agno(type(item)):
            self._output = item
        elif isinstance(item, str):
            self._texts.append(item)
            self._on_text(item)

    @property
    def result(self) -> Json:
        return "".join(self._texts) if self._output is None else self._output
