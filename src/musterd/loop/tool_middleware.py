"""Middleware around a tool call: hooks, cached results and retries.

All of it runs inside the call's journal step, so a replay repeats none of it. From the outside in: ``pre_hook``, the
hooks of the agent or team, the hooks of the tool, the cached result, the retries.
"""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable

from pydantic_ai.messages import BinaryContent
from pydantic_core import to_jsonable_python

from musterd.core import clock, jsontext
from musterd.core.error_logging import exception_message, log_failure
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import BaseComponent, Team, Tool, ToolContext
from musterd.declare.signature import unwrapped
from musterd.declare.tool_call_options import FunctionCall
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, StopRun, ToolFailed
from musterd.declare.tool_result import ToolResult
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.contained_exits import exits_contained
from musterd.loop.task_abandonment import is_cancelled

FIRST_WAIT_SECONDS = 0.1
Call = Callable[[JsonObject], Awaitable[Json]]
Hook = Callable[..., Json]


def has_middleware(run: Assignment[BaseComponent], tool: Tool) -> bool:
    """Whether calls of ``tool`` have hooks, cached results or retries."""
    if tool.is_own:
        return False
    of_tool = tool.retries or tool.result_cache or tool.pre_hook or tool.post_hook or tool.tool_hooks
    return bool(of_tool or run.component.tool_hooks)


async def call_with_middleware(
    run: Assignment[BaseComponent],
    tool: Tool,
    arguments: JsonObject,
    context: ToolContext,
    call: Call,
    as_text: Callable[[Json], Awaitable[str]],
) -> Json:
    """Call ``tool`` through its middleware.

    :param call: calls the function itself.
    :param as_text: converts a result to the text that is cached.
    """

    async def call_cached(call_arguments: JsonObject) -> Json:
        cache = tool.result_cache
        if cache is None:
            return await _call_with_retries(run, tool, call_arguments, context, call)
        key = _cache_key(tool, call_arguments, context)
        if (cached := cache.get(key)) is not None:
            return cached
        result = await _call_with_retries(run, tool, call_arguments, context, call)
        if not isinstance(result, ToolResult | BinaryContent):  # media are too large to cache, and text would lose them
            cache.put(key, await as_text(result))
        return result

    return await _call_with_own_hooks(run, tool, arguments, context, _chain(run, tool, context, call_cached))


def _cache_key(tool: Tool, arguments: JsonObject, context: ToolContext) -> str:
    """The key of equal calls: the arguments, and the caller if the tool takes a context and so may depend on it."""
    takes_context = getattr(tool.signature, "context_name", "context") is not None
    caller = [context.user_id, context.session_id, context.agent_id, context.dependencies] if takes_context else []
    return jsontext.canonical(to_jsonable_python([caller, arguments], fallback=repr))


async def _call_with_own_hooks(
    run: Assignment[BaseComponent], tool: Tool, arguments: JsonObject, context: ToolContext, call: Call
) -> Json:
    """Call ``call`` between the tool's ``pre_hook`` and ``post_hook``."""
    if tool.pre_hook is None and tool.post_hook is None:
        return await call(arguments)
    function_call = FunctionCall(function=tool, arguments=arguments, call_id=context.tool_call_id)
    values = {**_hook_values(run, context), "fc": function_call}
    if tool.pre_hook is not None:  # if it raises, the call is not made, and the model reads the error
        await _call_hook(tool.pre_hook, values)
    try:
        function_call.result = await call(function_call.arguments)
    except Exception as error:
        function_call.error = exception_message(error)
        try:
            await _call_post_hook(tool, values)
        except (StopRun, RetryTool):
            if isinstance(error, OutcomeUnknown):  # only a decision settles that
                raise error from None
            raise
        raise
    await _call_post_hook(tool, values)
    return function_call.result


async def _call_post_hook(tool: Tool, values: JsonObject) -> None:
    """Call the ``post_hook``. An error in it is logged only: the tool has been called, and its result counts.

    :raises StopRun, RetryTool: it says what happens next, and so the result does not count.
    """
    if tool.post_hook is None:
        return
    try:
        await _call_hook(tool.post_hook, values)
    except (StopRun, RetryTool):
        raise
    except (Exception, asyncio.CancelledError) as error:
        # Only a cancel of the call ends it. A CancelledError that the hook itself raised is an error in the hook.
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        log_failure("a post_hook failed", error, tool=tool.name)


# --- tool_hooks -------------------------------------------------------------------------------------


def _chain(run: Assignment[BaseComponent], tool: Tool, context: ToolContext, call: Call) -> Call:
    """The call wrapped in its hooks, the first one outermost."""
    chain = call
    for hook in reversed((*run.component.tool_hooks, *tool.tool_hooks)):
        chain = _wrapped(run, tool, context, hook, chain)
    return chain


def _wrapped(run: Assignment[BaseComponent], tool: Tool, context: ToolContext, hook: Hook, inner: Call) -> Call:
    async def wrapper(arguments: JsonObject) -> Json:
        tasks: list[asyncio.Task[Json]] = []
        loop = asyncio.get_running_loop()

        async def call_inner(**changed: Json) -> Json:
            return await inner(changed or arguments)

        async def call_inner_in_task(**changed: Json) -> Json:
            task = asyncio.create_task(call_inner(**changed))
            tasks.append(task)
            return await task

        def call_inner_from_thread(**changed: Json) -> Json:
            return asyncio.run_coroutine_threadsafe(call_inner_in_task(**changed), loop).result()

        next_call = call_inner if _is_async(hook) else call_inner_from_thread
        values = {**_hook_values(run, context), "name": tool.name, "function_name": tool.name}
        values |= {"function": next_call, "func": next_call, "function_call": next_call}
        values |= {"arguments": arguments, "args": arguments}
        try:
            return await _call_hook(hook, values)
        finally:
            # If this call is cancelled, the hook's thread cannot be, but the tool call that it started here can. It
            # must not outlive its step.
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    return wrapper


def _hook_values(run: Assignment[BaseComponent], context: ToolContext) -> JsonObject:
    """The values that every hook may receive, by parameter name."""
    spec = run.component.spec
    is_team = isinstance(spec, Team)
    return {
        "context": context,
        "run_context": context,
        "agent": None if is_team else spec,
        "team": spec if is_team else None,
    }


def _is_async(hook: Hook) -> bool:
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(unwrapped(hook))


async def _call_hook(hook: Hook, values: JsonObject) -> Json:
    """Call a hook with the ``values`` that its parameters name; a plain function runs in a new thread.

    The thread is not one of the executor's: the hook waits for the tool, which may need an executor thread itself, so
    hooks that occupied all of them would deadlock.
    """
    parameters = inspect.signature(hook).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    arguments = values if takes_all else {name: values[name] for name in parameters if name in values}
    if _is_async(hook):
        with exits_contained:
            return await hook(**arguments)
    loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    variables = contextvars.copy_context()

    def settle(result: Json, error: BaseException | None) -> None:
        if done.done():  # the call was cancelled while the hook ran
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = variables.run(hook, **arguments)
        except BaseException as error:  # noqa: BLE001 - raised in the coroutine that awaits the hook
            # A future does not accept a StopIteration, so another exception takes its place.
            failure = RuntimeError("the hook gave up") if isinstance(error, StopIteration) else error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="musterd-hook", daemon=True).start()
    with exits_contained:
        result = await done
        return await result if inspect.isawaitable(result) else result


# --- retries ----------------------------------------------------------------------------------------


async def _call_with_retries(
    run: Assignment[BaseComponent], tool: Tool, arguments: JsonObject, context: ToolContext, call: Call
) -> Json:
    """Call the tool, and call it again if it failed and a second call cannot repeat an effect.

    Each try has the same idempotency key and time limit, and starts from the session state that the hooks left.
    """
    state_before = state.copied(context.session_state)
    for failed_tries in range(tool.retries):
        try:
            return await call(arguments)
        except Exception as error:
            if not _may_retry(tool, error):
                raise
            log_failure("tool failed; retrying", error, is_over=False, tool=tool.name, run_id=run.run_id)
        context.session_state.clear()
        context.session_state.update(state.copied(state_before))
        await clock.sleep(clock.jitter(FIRST_WAIT_SECONDS * 2**failed_tries))
    return await call(arguments)


def _may_retry(tool: Tool, error: Exception) -> bool:
    if isinstance(error, RetryTool):
        return True
    return tool.retry_safe and (isinstance(error, OutcomeUnknown) or not isinstance(error, ToolFailed))
