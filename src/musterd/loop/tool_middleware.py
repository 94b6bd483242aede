"""What stands around a tool's call: kept results, hooks, further tries.

All of it is inside the call's step: its result is journalled as any other, and none of it happens again in a replay.
From the outside in: ``pre_hook``, the hooks of the agent or team, those of the tool, a kept result, the tool's tries.
"""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable

from pydantic_ai.messages import BinaryContent
from pydantic_core import to_jsonable_python

from musterd.core import clock, jsontext
from musterd.core.error_logging import log_failure, words_of
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import Team, Tool, ToolContext
from musterd.declare.signature import unwrapped
from musterd.declare.tool_call_options import FunctionCall
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.declare.tool_result import ToolResult
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.contained_exits import exits_contained

FIRST_WAIT_SECONDS = 0.1
Call = Callable[[JsonObject], Awaitable[Json]]
Hook = Callable[..., Json]


def is_surrounded(run: Assignment, tool: Tool) -> bool:
    """Whether anything stands around the calls of ``tool``."""
    if tool.is_own:
        return False
    own = tool.retries or tool.kept_results or tool.pre_hook or tool.post_hook or tool.tool_hooks
    return bool(own or run.component.spec.tool_hooks)


async def call_around(
    run: Assignment,
    tool: Tool,
    arguments: JsonObject,
    context: ToolContext,
    call: Call,
    as_text: Callable[[Json], Awaitable[str]],
) -> Json:
    """Call ``tool``, with what stands around it.

    :param call: calls the function itself.
    :param as_text: makes a result that is kept into text.
    """

    async def made(given: JsonObject) -> Json:
        kept = tool.kept_results
        if kept is None:
            return await _tries(run, tool, given, context, call)
        key = _key(tool, given, context)
        if (found := kept.get(key)) is not None:
            return found
        result = await _tries(run, tool, given, context, call)
        if not isinstance(result, ToolResult | BinaryContent):  # media are too much to keep, and no text is all of them
            kept.keep(key, await as_text(result))
        return result

    return await _with_own_hooks(run, tool, arguments, context, _chain(run, tool, context, made))


def _key(tool: Tool, arguments: JsonObject, context: ToolContext) -> str:
    """What makes two calls equal: the arguments, and of a tool that knows who calls, who that is."""
    knows_who = getattr(tool.signature, "context_name", "context") is not None
    who = [context.user_id, context.session_id, context.agent_id, context.dependencies] if knows_who else []
    return jsontext.canonical(to_jsonable_python([who, arguments], fallback=repr))


async def _with_own_hooks(run: Assignment, tool: Tool, arguments: JsonObject, context: ToolContext, call: Call) -> Json:
    if tool.pre_hook is None and tool.post_hook is None:
        return await call(arguments)
    made = FunctionCall(function=tool, arguments=arguments, call_id=context.tool_call_id)
    known = {**_known_of(run, context), "fc": made}
    if tool.pre_hook is not None:  # what it raises, the model reads: the call is not made
        await _called(tool.pre_hook, known)
    try:
        made.result = await call(made.arguments)
    except Exception as error:
        made.error = words_of(error)
        await _afterwards(tool, known)
        raise
    await _afterwards(tool, known)
    return made.result


async def _afterwards(tool: Tool, known: JsonObject) -> None:
    """Call the hook that comes too late to change anything: what it raises is the log's."""
    if tool.post_hook is None:
        return
    task = asyncio.ensure_future(_called(tool.post_hook, known))
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log_failure("a post_hook failed", error, tool=tool.name)


# --- hooks around -----------------------------------------------------------------------------------


def _chain(run: Assignment, tool: Tool, context: ToolContext, call: Call) -> Call:
    """The call with the hooks around it, the first one outermost."""
    chain = call
    for hook in reversed((*(run.component.spec.tool_hooks or ()), *tool.tool_hooks)):
        chain = _hooked(run, tool, context, hook, chain)
    return chain


def _hooked(run: Assignment, tool: Tool, context: ToolContext, hook: Hook, inner: Call) -> Call:
    async def called(arguments: JsonObject) -> Json:
        begun: list[asyncio.Task[Json]] = []
        loop = asyncio.get_running_loop()

        async def go_on(**given: Json) -> Json:
            return await inner(given or arguments)

        async def go_on_in_task(**given: Json) -> Json:
            task = asyncio.create_task(go_on(**given))
            begun.append(task)
            return await task

        def go_on_from_thread(**given: Json) -> Json:
            return asyncio.run_coroutine_threadsafe(go_on_in_task(**given), loop).result()

        next_call = go_on if _is_async(hook) else go_on_from_thread
        known = {**_known_of(run, context), "name": tool.name, "function_name": tool.name}
        known |= {"function": next_call, "func": next_call, "function_call": next_call}
        known |= {"arguments": arguments, "args": arguments}
        try:
            return await _called(hook, known)
        finally:
            for task in begun:  # the hook's thread may have gone, but what it began belongs to this call
                task.cancel()
            if begun:
                await asyncio.wait(begun)

    return called


def _known_of(run: Assignment, context: ToolContext) -> JsonObject:
    """What every hook may ask for by name."""
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


async def _called(hook: Hook, known: JsonObject) -> Json:
    """Call a hook with those of ``known`` that it has parameters for; a plain function in a thread of its own.

    Not in one of the tools' threads: it waits for the tool, which may need one of them.
    """
    parameters = inspect.signature(hook).parameters
    takes_all = any(found.kind is inspect.Parameter.VAR_KEYWORD for found in parameters.values())
    given = known if takes_all else {name: known[name] for name in parameters if name in known}
    if _is_async(hook):
        with exits_contained:
            return await hook(**given)
    loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    copied = contextvars.copy_context()

    def tell(result: Json, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = copied.run(hook, **given)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the hook
            failure = RuntimeError("the hook gave up") if isinstance(error, StopIteration) else error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=work, name="musterd-hook", daemon=True).start()
    with exits_contained:
        result = await done
        return await result if inspect.isawaitable(result) else result


# --- tries ------------------------------------------------------------------------------------------


async def _tries(run: Assignment, tool: Tool, arguments: JsonObject, context: ToolContext, call: Call) -> Json:
    """Call again what failed, under the same key and on the same state, where that does nothing twice."""
    for failed in range(tool.retries):
        try:
            return await call(arguments)
        except Exception as error:
            if not _may_try_again(tool, error):
                raise
            about = {"tool": tool.name, "run_id": run.run_id}
            log_failure("tool failed, and is called again", error, is_over=False, **about)
        context.session_state.clear()
        context.session_state.update(state.copied(run.state))
        await clock.sleep(clock.jitter(FIRST_WAIT_SECONDS * 2**failed))
    return await call(arguments)


def _may_try_again(tool: Tool, error: Exception) -> bool:
    if isinstance(error, RetryTool):
        return True
    return tool.retry_safe and (isinstance(error, OutcomeUnknown) or not isinstance(error, ToolFailed))
